"""A fully connected layer."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Size, Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients


class Cache(NamedTuple):
    """What backward needs: the input as N D, and its own shape."""

    flat: Tensor
    shape: Size


@dataclass(frozen=True)
class Linear:
    """Multiply each image by a matrix.

    Forward:  out = x · weightᵀ + bias, x flattened to N D.
    Backward: dx = dout · weight; dweight = doutᵀ · x; dbias = Σ dout over N.

    Args:
        weight: The matrix, O D.
        bias: The summand of each output, O; or None.

    Shapes: x and dx are N D, or N C H W with D = C·H·W; out and dout are N O. A weight with axes in front takes x with
    the same axes in front: a weight of S O D takes S N D or S N C H W.
    """

    weight: Tensor
    bias: Tensor | None = None

    def forward(self, x: Float[Tensor, "*N_D"]) -> tuple[Float[Tensor, "*N O"], Cache]:
        """Return the output and the cache for backward. Raises RuntimeError if the weight takes another length."""
        flat = x.flatten(-3) if x.dim() > self.weight.dim() else x
        out = flat @ self.weight.mT
        return (out if self.bias is None else out + self.bias[..., None, :]), Cache(flat, x.shape)

    def backward(self, dout: Float[Tensor, "*N O"], cache: Cache) -> tuple[Float[Tensor, "*N_D"], Gradients]:
        """Return dx, in the input's shape, and {"weight": dweight, "bias": dbias}; no "bias" without a bias."""
        return self.input_gradient(dout, cache), self.parameter_gradients(dout, cache)

    def input_gradient(self, dout: Float[Tensor, "*N O"], cache: Cache) -> Float[Tensor, "*N_D"]:
        """Return the dx of backward alone."""
        return (dout @ self.weight).view(cache.shape)

    def parameter_gradients(self, dout: Float[Tensor, "*N O"], cache: Cache) -> Gradients:
        """Return the parameter gradients of backward alone."""
        dweight = dout.mT @ cache.flat
        return {"weight": dweight} if self.bias is None else {"weight": dweight, "bias": dout.sum(-2)}

    def parameters(self) -> dict[str, Tensor]:
        """Return the weight, O D, and the bias, O, if there is one."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}
