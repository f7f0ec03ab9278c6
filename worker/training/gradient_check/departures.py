"""Where a training's gradients differ from the true ones on purpose: the protocol's three fields that say so."""

import math

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape

FIELDS = {  # each field with its value that departs, and what it changes
    "pool_gradient": ("copied", "the gradient of global_average_pool's input, and every gradient before that layer"),
    "filter_gradient": ("divided_by_batch", "the gradient of every convolution's weight"),
    "lambda_gradient": ("mean", "the gradient of Box-Cox's lambda"),
}


def departing_fields(spec: ExperimentSpec) -> list[str]:
    """Return the fields by which this network's gradients differ from the true ones."""
    layers = spec.layer_shapes()
    concerned = {
        "pool_gradient": any(layer.kind == "global_average_pool" for layer in layers),
        "filter_gradient": any(layer.kind == "convolution" for layer in layers),
        "lambda_gradient": any(layer.variant == "box_cox" for layer in layers),
    }
    return [name for name, (value, _) in FIELDS.items() if concerned[name] and getattr(spec, name) == value]


def pool_gradient_factor(spec: ExperimentSpec, layer: LayerShape) -> float:
    """Return what the gradient that enters a layer's backward pass is multiplied by."""
    if layer.kind != "global_average_pool" or spec.pool_gradient == "exact":
        return 1.0
    return float(math.prod(layer.input_shape[1:]))


def gradient_factor(spec: ExperimentSpec, layer: LayerShape, name: str, images: int) -> float:
    """Return what one gradient of a layer is multiplied by. images: how many the batch has."""
    if layer.kind == "convolution" and name == "weight" and spec.filter_gradient == "divided_by_batch":
        return 1 / images
    if layer.variant == "box_cox" and name == "lam" and spec.lambda_gradient == "mean":
        return 1 / (images * math.prod(layer.input_shape))
    return 1.0
