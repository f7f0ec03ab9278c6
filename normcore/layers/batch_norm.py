"""Batch normalization: each channel standardized over the batch and all positions."""

from dataclasses import dataclass

from torch import Tensor

from normcore.annotations import Float
from normcore.layers.fixed_standardization import FixedStandardization
from normcore.layers.layer import Gradients
from normcore.layers.running_statistics import RunningStatistics
from normcore.layers.standardization import Cache, standardize, standardize_backward

CHANNEL = (-4, -2, -1)  # the axes N, H, W: all values of one channel


@dataclass(frozen=True)
class BatchNorm:
    """Normalize each channel to mean 0 and variance 1 over the batch and the positions, without scale or shift.

    Forward:  out = (x − mean) · rstd, rstd = (var + eps)^-½, mean and biased variance over N, H, W.
    Backward: dx = rstd · (dout − mean(dout) − out · mean(dout · out)), means over N, H, W.
    At test time: FixedStandardization by the running statistics.

    Args:
        running: The running mean and variance, each 1 C 1 1. Each forward pass updates them.
        eps: Added to the variance for numerical stability.

    >>> running = RunningStatistics(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), momentum=0.9)
    >>> layer = BatchNorm(running)
    >>> out, cache = layer.forward(torch.randn(8, 3, 4, 4))
    >>> dx, gradients = layer.backward(torch.ones_like(out), cache)
    >>> test_out, test_cache = layer.for_inference().forward(torch.randn(1, 3, 4, 4))

    Shapes: x, out, dout and dx are N C H W.
    Source: Ioffe, Szegedy 2015, arXiv:1502.03167.
    """

    running: RunningStatistics
    eps: float = 1e-8

    def forward(self, x: Float[Tensor, "*S N C H W"]) -> tuple[Float[Tensor, "*S N C H W"], Cache]:
        """Return the output and the cache for backward. Updates the running statistics."""
        out, cache, moments = standardize(x, CHANNEL, self.eps)
        self.running.update(moments)
        return out, cache

    def backward(
        self, dout: Float[Tensor, "*S N C H W"], cache: Cache
    ) -> tuple[Float[Tensor, "*S N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        return standardize_backward(dout, cache, CHANNEL), {}

    def for_inference(self) -> FixedStandardization:
        """Return the normalization by the running statistics."""
        return FixedStandardization(self.running, self.eps)

    def recompute_output(self, cache: Cache) -> Tensor:
        """Return the output of forward."""
        return cache.out()

    def buffers(self) -> dict[str, Tensor]:
        """Return the running mean and variance, each 1 C 1 1."""
        return self.running.buffers()
