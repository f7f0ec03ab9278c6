"""Pooling over windows: the greatest value of each, or the mean."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from normcore.layers.layer import Gradients


class MaxCache(NamedTuple):
    """x: N C H W; places: of each window's greatest value in its map, N C H' W' int64."""

    x: Tensor
    places: Tensor


@dataclass(frozen=True)
class MaxPool:
    """out[n,c,i,j] = max of x over the window of size × size at (i·stride, j·stride).

    Backward: dout goes to the place of the window's maximum, the first of those that tie; a place that is the maximum
    of several windows gets the sum. By torch's own operator (no autograd), but for overlapping windows on CUDA: it adds
    there in whatever order its threads come, and a training would not be the same to the bit twice.

    Shapes: x and dx are N C H W, out and dout N C H' W' with H' = ⌊(H − size)/stride⌋ + 1.
    """

    size: int
    stride: int

    def forward(self, x: Tensor) -> tuple[Tensor, MaxCache]:
        """The output, and where it came from. Raises RuntimeError if the window does not fit."""
        out, places = F.max_pool2d(x, self.size, self.stride, return_indices=True)
        return out, MaxCache(x, places)

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return F.max_pool2d(x, self.size, self.stride)

    def backward(self, dout: Tensor, cache: MaxCache) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        if dout.is_cuda and self.size > self.stride:
            return self._input_gradient_in_order(dout, cache), {}
        window, step = [self.size] * 2, [self.stride] * 2
        dx = torch.ops.aten.max_pool2d_with_indices_backward(
            dout, cache.x, window, step, [0, 0], [1, 1], False, cache.places
        )
        return dx, {}

    def _input_gradient_in_order(self, dout: Tensor, cache: MaxCache) -> Tensor:
        """dx, one place of the window after the other: no two windows have the same place at once."""
        width, (rows, columns) = cache.x.shape[3], dout.shape[2:]
        row, column = torch.arange(rows, device=dout.device), torch.arange(columns, device=dout.device)
        corners = row[:, None] * self.stride * width + column * self.stride
        dx = torch.zeros_like(cache.x)
        for i in range(self.size):
            for j in range(self.size):
                there = dx[:, :, i : i + rows * self.stride : self.stride, j : j + columns * self.stride : self.stride]
                there += torch.where(cache.places == corners + i * width + j, dout, 0)
        return dx

    def parameters(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}


@dataclass(frozen=True)
class AveragePool:
    """out[n,c,i,j] = mean of x over the window of size × size at (i·stride, j·stride).

    Backward: dout/size² goes to every place of the window, and adds up where windows overlap. By torch's own operator
    (no autograd).

    Shapes: x and dx are N C H W, out and dout N C H' W' with H' = ⌊(H − size)/stride⌋ + 1.
    """

    size: int
    stride: int

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the input for its shape. Raises RuntimeError if the window does not fit."""
        return F.avg_pool2d(x, self.size, self.stride), x

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return F.avg_pool2d(x, self.size, self.stride)

    def backward(self, dout: Tensor, cache: Tensor) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        window, step = [self.size] * 2, [self.stride] * 2
        return torch.ops.aten.avg_pool2d_backward(dout, cache, window, step, [0, 0], False, True, None), {}

    def parameters(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
