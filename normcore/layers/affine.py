"""The learned scale and shift that may follow a normalization."""

from dataclasses import dataclass

from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients

CHANNEL = (-4, -2, -1)  # the axes N, H, W: all values of one channel


@dataclass(frozen=True)
class Affine:
    """Scale and shift each channel. A layer of its own, so that no normalization repeats it.

    Forward:  out = scale · x + shift.
    Backward: dx = scale · dout; dscale = Σ dout · x; dshift = Σ dout, sums over N, H, W.

    Args:
        scale: The factor of each channel, 1 C 1 1; γ in the source.
        shift: The summand of each channel, 1 C 1 1; β in the source.

    Shapes: x, out, dout and dx are N C H W.
    Source: Ioffe, Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """

    scale: Tensor
    shift: Tensor

    def forward(self, x: Float[Tensor, "*S N C H W"]) -> tuple[Float[Tensor, "*S N C H W"], Tensor]:
        """Return the output, and x as the cache."""
        return x * self.scale + self.shift, x

    def backward(
        self, dout: Float[Tensor, "*S N C H W"], cache: Tensor
    ) -> tuple[Float[Tensor, "*S N C H W"], Gradients]:
        """Return dx and {"scale": dscale, "shift": dshift}, each 1 C 1 1."""
        gradients = {
            "scale": (dout * cache).sum(CHANNEL, keepdim=True),
            "shift": dout.sum(CHANNEL, keepdim=True),
        }
        return dout * self.scale, gradients

    def parameters(self) -> dict[str, Tensor]:
        """Return scale and shift, each 1 C 1 1."""
        return {"scale": self.scale, "shift": self.shift}
