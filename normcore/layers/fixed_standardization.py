"""Standardization by statistics that do not depend on the batch: a normalization at test time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients
from normcore.layers.running_statistics import RunningStatistics
from normcore.layers.slot_statistics import SlotStatistics
from normcore.layers.standardization import Cache


@dataclass(frozen=True)
class FixedStandardization:
    """Normalize by the mean and variance of earlier training batches, which it shares with the layer of training.

    Batch normalization is this at test time, and so are layer and instance normalization with slot statistics.

    Forward:  out = (x − mean) · rstd, rstd = (var + eps)^-½.
    Backward: dx = dout · rstd: mean and rstd are constants, so no other term is left.

    Args:
        statistics: The running mean and variance. They are read and never updated.
        eps: Added to the variance for numerical stability.

    Shapes: x, out, dout and dx are N C H W; mean and rstd as the statistics have them, 1 C 1 1 for batch normalization.
    Source: Ioffe, Szegedy 2015, arXiv:1502.03167, algorithm 2.
    """

    statistics: RunningStatistics | SlotStatistics
    eps: float

    def forward(self, x: Float[Tensor, "*S N C H W"]) -> tuple[Float[Tensor, "*S N C H W"], Cache]:
        """Return the output and the cache for backward. Raises ValueError for more images than there are slots."""
        mean, var = self.statistics.moments(x.shape[-4])
        cache = Cache(x, mean, torch.rsqrt(var + self.eps))
        return cache.out(), cache

    def backward(
        self, dout: Float[Tensor, "*S N C H W"], cache: Cache
    ) -> tuple[Float[Tensor, "*S N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        return dout * cache.rstd, {}

    def recompute_output(self, cache: Cache) -> Tensor:
        """Return the output of forward."""
        return cache.out()

    def buffers(self) -> dict[str, Tensor]:
        """Return the running mean and variance."""
        return self.statistics.buffers()
