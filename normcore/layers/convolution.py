"""Two-dimensional convolution, optionally in groups, with TensorFlow's SAME padding or explicit padding."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients

Padding = int | Literal["same"]


class Cache(NamedTuple):
    """What backward needs.

    padded is the input with its zeros around it, N C H' W', or None while it is dropped. size is the input's own H, W.
    start is the index, in padded, of the input's first row and column.
    """

    padded: Tensor | None
    size: tuple[int, int]
    start: tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """Convolve images with a filter bank; as in every deep learning library, the filters are not flipped.

    Forward:  out[n,o,i,j] = bias[o] + Σ_c Σ_u Σ_v weight[o,c,u,v] · padded[n,c, i·stride+u, j·stride+v].
    Backward: dpadded[n,c,p,q] = Σ_o Σ_u Σ_v dout[n,o,i,j] · weight[o,c,u,v] where i·stride+u = p and j·stride+v = q,
    and dx is dpadded without its border; dweight[o,c,u,v] = Σ_n Σ_i Σ_j dout[n,o,i,j] · padded[n,c, i·stride+u,
    j·stride+v]; dbias[o] = Σ_n Σ_i Σ_j dout[n,o,i,j].

    Args:
        weight: The filters, O C/groups K K.
        stride: The distance between neighbouring windows.
        padding: How many zeros to put on all four sides, or "same" for TensorFlow's rule: H' = ⌈H/stride⌉, an odd zero
            at the bottom and the right.
        divide_by_batch: Whether to divide dweight by N once more, as the 2018 notebook did; not the true gradient.
        groups: How many groups the channels are divided into. The outputs of a group depend on its inputs alone.
        bias: The summand of each output channel, O; or None.

    >>> layer = Convolution(torch.ones(1, 1, 3, 3))
    >>> out, cache = layer.forward(torch.ones(1, 1, 3, 3))
    >>> out.tolist()
    [[[[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]]]
    >>> dx, gradients = layer.backward(torch.ones_like(out), cache)

    Shapes: x and dx are N C H W, out and dout N O H' W'. x cannot have more axes in front, because torch's convolution
    operators take one batch axis.
    Source: Dumoulin, Visin 2016, arXiv:1603.07285; tf.nn.convolution for SAME. dx and dweight are computed by torch's
    own convolution_backward operator, without autograd.
    """

    weight: Tensor
    stride: int = 1
    padding: Padding = "same"
    divide_by_batch: bool = False
    groups: int = 1
    bias: Tensor | None = None

    def forward(self, x: Float[Tensor, "N C H W"]) -> tuple[Float[Tensor, "N O rows columns"], Cache]:
        """Return the output and the cache for backward. Raises ValueError if the kernel does not fit."""
        padded, cache = self._padded(x)
        if min(padded.shape[-2:]) < self.weight.shape[-1]:
            size, (height, width) = self.weight.shape[-1], cache.size
            raise ValueError(f"a {size}×{size} kernel does not fit {height}×{width}")
        out = F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)
        return out, cache

    def backward(
        self, dout: Float[Tensor, "N O rows columns"], cache: Cache
    ) -> tuple[Float[Tensor, "N C H W"], Gradients]:
        """Return dx and {"weight": dweight, "bias": dbias}; no "bias" without a bias."""
        dpadded, dweight = self._backward(dout, cache, [True, True, False])
        return self._cropped(dpadded, cache), self._gradients(dout, dweight)

    def input_gradient(self, dout: Float[Tensor, "N O rows columns"], cache: Cache) -> Float[Tensor, "N C H W"]:
        """Return the dx of backward alone."""
        return self._cropped(self._backward(dout, cache, [True, False, False])[0], cache)

    def parameter_gradients(self, dout: Float[Tensor, "N O rows columns"], cache: Cache) -> Gradients:
        """Return the parameter gradients of backward alone."""
        return self._gradients(dout, self._backward(dout, cache, [False, True, False])[1])

    def without_input(self, cache: Cache) -> Cache:
        """Return the cache without the padded input."""
        return cache._replace(padded=None)

    def with_input(self, cache: Cache, x: Float[Tensor, "N C H W"]) -> Cache:
        """Return the whole cache of a forward pass of x."""
        return self._padded(x)[1]

    def parameters(self) -> dict[str, Tensor]:
        """Return the weight, O C/groups K K, and the bias, O, if there is one."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def _padded(self, x: Tensor) -> tuple[Tensor, Cache]:
        height, width = x.shape[-2:]
        (top, bottom), (left, right) = self._zeros(height), self._zeros(width)
        padded = F.pad(x, (left, right, top, bottom)) if top or bottom or left or right else x
        return padded, Cache(padded, (height, width), (top, left))

    def _zeros(self, size: int) -> tuple[int, int]:
        """Return the number of zeros before and after an axis of the given size."""
        if self.padding != "same":
            return self.padding, self.padding
        out = -(-size // self.stride)
        total = max((out - 1) * self.stride + self.weight.shape[-1] - size, 0)
        return total // 2, total - total // 2

    def _backward(self, dout: Tensor, cache: Cache, wanted: list[bool]) -> tuple[Any, Any]:
        """Return the gradients of the padded input and of the weight; None for one that is not wanted."""
        padded = cache.padded
        assert padded is not None, "with_input puts the dropped input back before backward"
        dpadded, dweight, _ = torch.ops.aten.convolution_backward(
            dout, padded, self.weight, None, [self.stride] * 2, [0, 0], [1, 1], False, [0, 0], self.groups, wanted
        )
        return dpadded, dweight

    def _cropped(self, dpadded: Tensor, cache: Cache) -> Tensor:
        (height, width), (top, left) = cache.size, cache.start
        return dpadded[..., top : top + height, left : left + width]

    def _gradients(self, dout: Tensor, dweight: Tensor) -> Gradients:
        if self.divide_by_batch:
            dweight = dweight / dout.shape[-4]
        return {"weight": dweight} if self.bias is None else {"weight": dweight, "bias": dout.sum((-4, -2, -1))}
