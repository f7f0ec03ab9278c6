"""The estimated time of an eager step on one core, from the spec alone: the same on every machine, under any load.

The engine and the number of threads are chosen by it. Both decide the last bits of a result, so neither may depend on a
stopwatch. `python -m benchmarks.engines` compares the estimate with measurements.
"""

import math
from collections.abc import Sequence

from normlab.spec.layer_shape import LayerShape

# Seconds of a forward and a backward pass, fitted to measured steps on one core of an AMD EPYC with AVX-512. The
# measured steps take 0.6 to 1.6 times the estimate.
PER_LAYER = 1e-4
PER_MULTIPLICATION = 6e-11
PER_VALUE = 2e-9
PER_NORMALIZED_VALUE = 10e-9
PER_POWER = 50e-9  # of a value of Box-Cox or Yeo-Johnson
POWERS = ("box_cox", "yeo_johnson")


def step_seconds(layers: Sequence[LayerShape], batch_size: int) -> float:
    """Return the estimated seconds of a training step with this many images."""
    return PER_LAYER * len(layers) + batch_size * sum(map(_image_seconds, layers))


def _image_seconds(layer: LayerShape) -> float:
    values = math.prod(layer.output_shape)
    seconds = PER_VALUE * values + PER_MULTIPLICATION * values * _multiplications_per_value(layer)
    if layer.kind == "normalization":
        seconds += values * (PER_POWER if layer.variant in POWERS else PER_NORMALIZED_VALUE)
    return seconds


def _multiplications_per_value(layer: LayerShape) -> int:
    """Return how many multiplications the forward pass needs for each value of the output."""
    match layer.kind:
        case "convolution":
            return layer.input_shape[0] // (layer.groups or 1) * (layer.kernel_size or 1) ** 2
        case "linear":
            return math.prod(layer.input_shape)
        case _:
            return 0
