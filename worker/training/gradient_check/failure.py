"""The sentence about the first error of a check that is above its limit."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from normlab.spec.layer_shape import IMAGES, LayerShape
from worker.training.gradient_check.errors import Key, Kind
from worker.training.gradient_check.limits import Excess, Judgement


class Compared(NamedTuple):
    """One compared value: its key, its name in a sentence, and what it is compared with."""

    key: Key
    name: str
    reference: str


def failure(judgement: Judgement, layers: Sequence[LayerShape], changed: Sequence[Key]) -> str | None:
    """Return the sentence, or None if every error is within its limit.

    The errors in float64 come first, because they are not rounding.

    Args:
        judgement: The errors and their limits.
        layers: The network's layers.
        changed: The keys of the parameters and running statistics.
    """
    compared = _compared(layers, changed)
    for precision, excess_of in (
        ("in float64", judgement.excess_in_float64),
        ("in the training's own steps", judgement.excess_in_training),
    ):
        for value in compared:
            if (excess := excess_of(value.key)) is not None:
                return _sentence(value, excess, precision)
    return None


def _compared(layers: Sequence[LayerShape], changed: Sequence[Key]) -> list[Compared]:
    """Return the compared values in the order in which an error is searched.

    Outputs are in forward order and gradients in backward order, because a wrong value makes later ones wrong too.
    """
    formula, function, autograd = "the spec's definition", "PyTorch's own function", "autograd"
    return [
        Compared((Kind.OUTPUT, IMAGES), "the scaling of the images", formula),
        *(Compared((Kind.OUTPUT, i), f"the output of {_of(layer)}", function) for i, layer in enumerate(layers)),
        Compared((Kind.LOSS, 0), "the loss", function),
        Compared((Kind.CORRECT, 0), "the count of correctly classified images", formula),
        *(
            Compared((Kind.GRADIENTS, i), f"the gradient of {_of(layer)}", autograd)
            for i, layer in reversed(list(enumerate(layers)))
        ),
        *(Compared(key, *_changed(key, layers)) for key in changed),
        Compared((Kind.CAPTURE, 0), "the training step with a capture", "the step without one"),
        Compared((Kind.LOGITS, 0), "the output of the test pass", function),
    ]


def _changed(key: Key, layers: Sequence[LayerShape]) -> tuple[str, str]:
    """Return the name of a changed tensor and what it is compared with."""
    index, name = str(key[1]).split(".")
    tensor = f"{name} of {_of(layers[int(index)])}"
    if key[0] == Kind.PARAMETER:
        return f"the optimizer's update of {tensor}", "PyTorch's optimizer"
    return f"the running average or count {tensor}", "the spec's definition"


def _sentence(value: Compared, excess: Excess, precision: str) -> str:
    if math.isinf(excess.error):
        return (
            f"{value.name} is wrong: it is not finite or of another shape, where {value.reference} gives finite "
            f"values, {precision}"
        )
    return (
        f"{value.name} is wrong: its relative error against {value.reference} is {excess.error:.1e}, above "
        f"{excess.limit:.0e}, {precision}"
    )


def _of(layer: LayerShape) -> str:
    return f"layer {layer.layer} ({layer.kind})"
