"""Batch normalization: every channel standardized over the batch and all positions."""

from dataclasses import dataclass

from torch import Tensor

from normcore.layers.layer import Gradients
from normcore.layers.running_statistics import RunningStatistics
from normcore.layers.standardization import Cache, standardize, standardize_backward

BATCH = (0, 2, 3)  # the axes N, H, W of an N C H W tensor


@dataclass(frozen=True)
class BatchNorm:
    """out = (x − mean) · rstd over N, H, W in training; by running statistics at test time. Nothing is learned.

    Backward: standardization's, over N, H, W.

    Shapes: x, out, dout, dx are N C H W; running statistics 1 C 1 1.
    Source: Ioffe, Szegedy 2015, arXiv:1502.03167.
    """

    running: RunningStatistics
    eps: float = 1e-8

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and x with its moments for backward."""
        out, cache, moments = standardize(x, BATCH, self.eps)
        self.running.update(moments)
        return out, cache

    def infer(self, x: Tensor) -> Tensor:
        """By the running statistics."""
        return self.running.standardize(x, self.eps)

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        return standardize_backward(dout, cache, BATCH), {}

    def recompute_output(self, cache: Cache) -> Tensor:
        """The output of forward."""
        return cache.out()

    def parameters(self) -> dict[str, Tensor]:
        """None: no scale or shift is learned."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """The running mean and variance, 1 C 1 1."""
        return self.running.buffers()
