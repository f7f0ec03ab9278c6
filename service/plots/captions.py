"""What figures call the layers of a network: kind and shape."""

from collections.abc import Mapping, Sequence

from normlab.spec.layer_shape import LayerShape
from normlab.spec.quantities import Quantity
from normlab.spec.variants import VARIANTS
from normlab.spec.windows import shape_text

Captions = Mapping[int, str]  # by the layer's number
NO_CAPTIONS: Captions = {}


def layer_captions(shapes: Sequence[LayerShape], quantity: Quantity) -> dict[int, str]:
    """Return the caption of each layer that the quantity is captured in, such as "convolution 3×3 → 16×48×48"."""
    kinds = ("normalization",) if quantity.layers == "normalization" else ("convolution", "linear")
    return {shape.layer: _caption(shape) for shape in shapes if shape.kind in kinds}


def _caption(shape: LayerShape) -> str:
    output = shape_text(shape.output_shape)
    if shape.kind == "normalization":
        variant = f"{VARIANTS[shape.variant].title} " if shape.variant else ""
        return f"{variant}normalization, {output}"
    kernel = f" {shape.kernel_size}×{shape.kernel_size}" if shape.kernel_size else ""
    return f"{shape.kind}{kernel} → {output}"
