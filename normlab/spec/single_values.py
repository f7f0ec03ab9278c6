"""Normalizations over a single value, which are refused: nothing before such a layer can be trained.

A value is its own mean, minimum and maximum, so what is left of it is 0, and so is every gradient. PyTorch refuses
batch, instance and group normalization of one value too. RMS and filter response leave the sign of the value, whose
derivative is 0 but for norm_eps, so they are refused for the same reason.
"""

import math
from collections.abc import Sequence

from normlab.spec.layer_shape import UNKNOWN, LayerShape
from normlab.spec.variants import VARIANTS
from normlab.spec.windows import shape_text

TRY = "use a larger image_size, smaller strides, or another normalization there"


def check_statistics(layers: Sequence[LayerShape], smallest_batch: int | None) -> None:
    """Raise ValueError, naming layer and shape, if a normalization has statistics of a single value.

    smallest_batch: how many images the smallest batch of an epoch has; None if that is not known yet.
    """
    for layer in layers:
        if layer.standardized and _weights_per_filter(layer) == 1:
            raise ValueError(
                f"layer {layer.layer}: weight_standardization of a convolution 1×1 with one input channel standardizes "
                "a single weight, so that every weight and every gradient is 0; use a larger kernel_size or more input "
                "channels"
            )
        if layer.kind == "normalization" and _values(layer, smallest_batch) == 1:
            raise ValueError(_refusal(layer))


def smallest_batch(images: int | None, batch_size: int) -> int | None:
    """Return how many images the smallest batch of an epoch has; None if that depends on an unknown number of images.

    The last batch of an epoch is trained however few images it has.
    """
    if images is None:
        return 1 if batch_size == 1 else None
    return images % batch_size or batch_size


def _values(layer: LayerShape, smallest_batch: int | None) -> int | None:
    """Return how many values one statistic of a normalization is of, or None if that is not known or there is none."""
    channels, height, width = layer.input_shape
    over = VARIANTS[layer.variant or "none"].statistics_over
    factors = {"images": smallest_batch, "channels": channels, "positions": height * width}
    factors["group"] = channels // (layer.groups or 1)
    sizes = [factors[axis] for axis in over]
    known = [size for size in sizes if size is not None and size != UNKNOWN]
    return math.prod(known) if known and len(known) == len(sizes) else None


def _weights_per_filter(layer: LayerShape) -> int:
    return layer.input_shape[0] // (layer.groups or 1) * (layer.kernel_size or 1) ** 2


def _refusal(layer: LayerShape) -> str:
    variant = VARIANTS[layer.variant or "none"]
    shape = shape_text(layer.input_shape)
    if "images" in variant.statistics_over:
        return (
            f"layer {layer.layer}: {variant.name} normalization of {shape} has a batch of one image, and so a single "
            "value per channel, whose output and gradient are always 0; choose a batch_size and a train_size that "
            f"leave no batch of one image, or {TRY}"
        )
    left = "always 0, and so is its gradient" if variant.subtracts else "the value's sign, and its gradient is 0"
    return (
        f"layer {layer.layer}: {variant.name} normalization of {shape} normalizes a single value: its output is "
        f"{left}; {TRY}"
    )
