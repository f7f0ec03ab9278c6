"""The learned scale and shift that may follow a normalization: one of each a channel."""

from dataclasses import dataclass

from torch import Tensor

from normcore.layers.layer import Gradients

EVERY_MAP = (0, 2, 3)  # the axes N, H, W of an N C H W tensor


@dataclass(frozen=True)
class Affine:
    """out = scale · x + shift. Backward: dx = scale · dout; dscale = Σ dout · x; dshift = Σ dout, over N, H, W.

    A layer of its own, so that no normalization need say it again.

    Shapes: x, out, dout, dx are N C H W, scale and shift 1 C 1 1.
    Source: Ioffe, Szegedy 2015, arXiv:1502.03167, the γ and β of algorithm 1.
    """

    scale: Tensor
    shift: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and x for backward."""
        return x * self.scale + self.shift, x

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return x * self.scale + self.shift

    def backward(self, dout: Tensor, cache: Tensor) -> tuple[Tensor, Gradients]:
        """dx, and {"scale": dscale, "shift": dshift}, 1 C 1 1."""
        gradients = {
            "scale": (dout * cache).sum(EVERY_MAP, keepdim=True),
            "shift": dout.sum(EVERY_MAP, keepdim=True),
        }
        return dout * self.scale, gradients

    def parameters(self) -> dict[str, Tensor]:
        """Scale and shift, 1 C 1 1."""
        return {"scale": self.scale, "shift": self.shift}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
