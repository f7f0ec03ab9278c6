"""Two-dimensional convolution, in groups if asked, with TensorFlow's SAME padding or explicit padding."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from normcore.layers.layer import Gradients

Padding = int | Literal["same"]


class Cache(NamedTuple):
    """padded: N C H' W', the input with its zeros around it; size: the input's own H, W; start: where it begins.

    padded may be left out, to be made again from the input.
    """

    padded: Tensor | None
    size: tuple[int, int]
    start: tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """out[n,o,i,j] = bias[o] + Σ_c Σ_u Σ_v weight[o,c,u,v] · padded x[n,c, i·stride+u, j·stride+v].

    Backward: dx is dout convolved, transposed, with the weight; dw[o,c,u,v] = Σ_n Σ_i Σ_j dout[n,o,i,j] ·
    x[n,c,i·stride+u,j·stride+v], both by torch's own convolution-backward operator (no autograd); db[o] = Σ_n Σ_i Σ_j
    dout[n,o,i,j]. With groups, the outputs of a group see the inputs of that group alone.

    padding: zeros on all four sides, or "same", TensorFlow's rule: out = ceil(in / stride), the odd zero at the bottom
    and the right. divide_by_batch divides dw by N once more, as the 2018 notebook did; not the true gradient.

    Shapes: x is N C H W, weight O C/groups K K, bias O, out N O H' W'.
    Source: Dumoulin, Visin 2016, arXiv:1603.07285; tf.nn.convolution for SAME.
    """

    weight: Tensor
    stride: int = 1
    padding: Padding = "same"
    divide_by_batch: bool = False
    groups: int = 1
    bias: Tensor | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and the padded input that dw needs. Raises ValueError if the kernel does not fit."""
        padded, cache = self._padded(x)
        if min(padded.shape[-2:]) < self.weight.shape[-1]:
            size, (height, width) = self.weight.shape[-1], cache.size
            raise ValueError(f"a {size}×{size} kernel does not fit {height}×{width}")
        out = F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)
        return out, cache

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return self.forward(x)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, N C H W, and {"weight": dw, "bias": db}, shaped as those; no "bias" where there is none."""
        dpadded, dw = self._backward(dout, cache, [True, True, False])
        return self._cropped(dpadded, cache), self._gradients(dout, dw)

    def input_gradient(self, dout: Tensor, cache: Cache) -> Tensor:
        """The dx of backward."""
        return self._cropped(self._backward(dout, cache, [True, False, False])[0], cache)

    def parameter_gradients(self, dout: Tensor, cache: Cache) -> Gradients:
        """Those of backward."""
        return self._gradients(dout, self._backward(dout, cache, [False, True, False])[1])

    def without_input(self, cache: Cache) -> Cache:
        """The cache, its largest part left out."""
        return cache._replace(padded=None)

    def with_input(self, cache: Cache, x: Tensor) -> Cache:
        """The whole cache of a forward pass of x."""
        return self._padded(x)[1]

    def parameters(self) -> dict[str, Tensor]:
        """The weight, O C/groups K K, and the bias, O, if there is one."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def _padded(self, x: Tensor) -> tuple[Tensor, Cache]:
        height, width = x.shape[-2:]
        (top, bottom), (left, right) = self._zeros(height), self._zeros(width)
        padded = F.pad(x, (left, right, top, bottom)) if top or bottom or left or right else x
        return padded, Cache(padded, (height, width), (top, left))

    def _backward(self, dout: Tensor, cache: Cache, asked: list[bool]) -> tuple[Tensor, Tensor]:
        """The gradients of the padded input and of the weight, as asked."""
        padded = cache.padded
        assert padded is not None, "what was left out of the cache is to be put back before"
        dpadded, dw, _ = torch.ops.aten.convolution_backward(
            dout, padded, self.weight, None, [self.stride] * 2, [0, 0], [1, 1], False, [0, 0], self.groups, asked
        )
        return dpadded, dw

    def _cropped(self, dpadded: Tensor, cache: Cache) -> Tensor:
        (height, width), (top, left) = cache.size, cache.start
        return dpadded[:, :, top : top + height, left : left + width]

    def _gradients(self, dout: Tensor, dw: Tensor) -> Gradients:
        if self.divide_by_batch:
            dw = dw / len(dout)
        return {"weight": dw} if self.bias is None else {"weight": dw, "bias": dout.sum((0, 2, 3))}

    def _zeros(self, size: int) -> tuple[int, int]:
        """Zeros before and after an axis of the given size."""
        if self.padding != "same":
            return self.padding, self.padding
        out = -(-size // self.stride)
        total = max((out - 1) * self.stride + self.weight.shape[-1] - size, 0)
        return total // 2, total - total // 2
