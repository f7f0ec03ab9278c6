"""Pooling over windows: the maximum of each, or the mean."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients


class MaxCache(NamedTuple):
    """What backward needs: x, N C H W, and the index of each window's maximum in its map, N C H' W' int64."""

    x: Tensor
    indices: Tensor


@dataclass(frozen=True)
class MaxPool:
    """Take the maximum of each window.

    Forward:  out[n,c,i,j] = max of x[n,c] over the size × size window at (i·stride, j·stride).
    Backward: dx[n,c,p] = Σ dout[n,c,i,j] over the windows whose maximum is at position p; of equal values the first
    counts.

    Args:
        size: The height and width of a window.
        stride: The distance between neighbouring windows.

    Shapes: x and dx are N C H W, out and dout N C H' W' with H' = ⌊(H − size)/stride⌋ + 1, W' alike. x cannot have more
    axes in front, because torch's pooling operators take one batch axis.
    Source: the operator is torch's own, without autograd. Overlapping windows on CUDA are the exception: torch adds
    there in an order that changes from run to run, and so a training would not repeat bit for bit.
    """

    size: int
    stride: int

    def forward(self, x: Float[Tensor, "N C H W"]) -> tuple[Float[Tensor, "N C rows columns"], MaxCache]:
        """Return the output and the cache for backward. Raises RuntimeError if the window does not fit."""
        out, indices = F.max_pool2d(x, self.size, self.stride, return_indices=True)
        return out, MaxCache(x, indices)

    def backward(
        self, dout: Float[Tensor, "N C rows columns"], cache: MaxCache
    ) -> tuple[Float[Tensor, "N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        if dout.is_cuda and self.size > self.stride:
            return self._input_gradient_in_order(dout, cache), {}
        window, step = [self.size] * 2, [self.stride] * 2
        dx = torch.ops.aten.max_pool2d_with_indices_backward(
            dout, cache.x, window, step, [0, 0], [1, 1], False, cache.indices
        )
        return dx, {}

    def _input_gradient_in_order(self, dout: Tensor, cache: MaxCache) -> Tensor:
        """Return dx, one position of the window after another: at one position no two windows meet."""
        width, (rows, columns) = cache.x.shape[-1], dout.shape[-2:]
        row, column = torch.arange(rows, device=dout.device), torch.arange(columns, device=dout.device)
        corners = row[:, None] * self.stride * width + column * self.stride
        dx = torch.zeros_like(cache.x)
        for i in range(self.size):
            for j in range(self.size):
                cells = dx[..., i : i + rows * self.stride : self.stride, j : j + columns * self.stride : self.stride]
                cells += torch.where(cache.indices == corners + i * width + j, dout, 0)
        return dx


@dataclass(frozen=True)
class AveragePool:
    """Take the mean of each window.

    Forward:  out[n,c,i,j] = mean of x[n,c] over the size × size window at (i·stride, j·stride).
    Backward: dx[n,c,p] = Σ dout[n,c,i,j] / size² over the windows that contain position p.

    Args:
        size: The height and width of a window.
        stride: The distance between neighbouring windows.

    Shapes: x and dx are N C H W, out and dout N C H' W' with H' = ⌊(H − size)/stride⌋ + 1, W' alike. x cannot have more
    axes in front, because torch's pooling operators take one batch axis.
    Source: the operator is torch's own, without autograd.
    """

    size: int
    stride: int

    def forward(self, x: Float[Tensor, "N C H W"]) -> tuple[Float[Tensor, "N C rows columns"], Tensor]:
        """Return the output, and x as the cache, for its shape. Raises RuntimeError if the window does not fit."""
        return F.avg_pool2d(x, self.size, self.stride), x

    def backward(
        self, dout: Float[Tensor, "N C rows columns"], cache: Tensor
    ) -> tuple[Float[Tensor, "N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        window, step = [self.size] * 2, [self.stride] * 2
        return torch.ops.aten.avg_pool2d_backward(dout, cache, window, step, [0, 0], False, True, None), {}
