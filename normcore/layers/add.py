"""The sum of several layers' outputs: where the shortcut of a residual block joins it."""

from dataclasses import dataclass

from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients


@dataclass(frozen=True)
class Add:
    """Add up two inputs or more.

    Forward:  out = Σ x.
    Backward: dx = dout, the same for every input.

    Shapes: the inputs, out, dout and dx have the same shape, which is any.
    Source: He, Zhang, Ren, Sun 2015, arXiv:1512.03385.
    """

    def forward(self, *xs: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], None]:
        """Return the output; backward needs no cache."""
        first, *others = xs
        for x in others:
            first = first + x
        return first, None

    def backward(self, dout: Float[Tensor, "*shape"], cache: None) -> tuple[Float[Tensor, "*shape"], Gradients]:
        """Return dx, the same for every input, and no parameter gradients."""
        return dout, {}
