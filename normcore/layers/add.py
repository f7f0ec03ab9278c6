"""The sum of several layers' outputs: where a residual block's shortcut joins it."""

from dataclasses import dataclass

from torch import Tensor

from normcore.layers.layer import Gradients


@dataclass(frozen=True)
class Add:
    """out = Σ x, of two inputs or more. Backward: dout is the gradient of each of them.

    Shapes: all alike, any. Source: He, Zhang, Ren, Sun 2015, arXiv:1512.03385.
    """

    def forward(self, *xs: Tensor) -> tuple[Tensor, None]:
        """The output; nothing is remembered."""
        return self.infer(*xs), None

    def infer(self, *xs: Tensor) -> Tensor:
        """As forward."""
        first, *others = xs
        for x in others:
            first = first + x
        return first

    def backward(self, dout: Tensor, cache: None) -> tuple[Tensor, Gradients]:
        """dx, the same for every input, and no parameter's gradient."""
        return dout, {}

    def parameters(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
