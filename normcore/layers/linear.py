"""A fully connected layer."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Size, Tensor

from normcore.layers.layer import Gradients


class Cache(NamedTuple):
    """flat: the input as N D; shape: its own."""

    flat: Tensor
    shape: Size


@dataclass(frozen=True)
class Linear:
    """out = x · weightᵀ + bias, x flattened to N D. Backward: dx = dout · weight; dw = doutᵀ · x; db = Σ_n dout.

    Shapes: x and dx are N D or N C H W with D = C·H·W; weight is K D, bias K, out and dout N K.
    """

    weight: Tensor
    bias: Tensor | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and the flattened input for backward. Raises RuntimeError if it has not the weight's length."""
        flat = x.flatten(1)
        out = flat @ self.weight.T
        return (out if self.bias is None else out + self.bias), Cache(flat, x.shape)

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return self.forward(x)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, in the input's shape, and {"weight": dw, "bias": db}; no "bias" where there is none."""
        return self.input_gradient(dout, cache), self.parameter_gradients(dout, cache)

    def input_gradient(self, dout: Tensor, cache: Cache) -> Tensor:
        """The dx of backward."""
        return (dout @ self.weight).view(cache.shape)

    def parameter_gradients(self, dout: Tensor, cache: Cache) -> Gradients:
        """Those of backward."""
        dw = dout.T @ cache.flat
        return {"weight": dw} if self.bias is None else {"weight": dw, "bias": dout.sum(0)}

    def parameters(self) -> dict[str, Tensor]:
        """The weight, K D, and the bias, K, if there is one."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
