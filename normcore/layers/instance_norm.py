"""Instance normalization: each map standardized over its own positions.

Layer normalization differs in the axes alone; layer_norm.py says why each has a class of its own.
"""

from dataclasses import dataclass

from torch import Tensor

from normcore.annotations import Float
from normcore.layers.fixed_standardization import FixedStandardization
from normcore.layers.layer import Gradients, Layer
from normcore.layers.slot_statistics import SlotStatistics
from normcore.layers.standardization import Cache, standardize, standardize_backward

MAP = (-2, -1)  # the axes H, W: all values of one channel of one image


@dataclass(frozen=True)
class InstanceNorm:
    """Normalize each channel of each image to mean 0 and variance 1 over its positions, without scale or shift.

    Forward:  out = (x − mean) · rstd, rstd = (var + eps)^-½, mean and biased variance over H, W.
    Backward: dx = rstd · (dout − mean(dout) − out · mean(dout · out)), means over H, W.
    At test time: the same, or with slots FixedStandardization by them.

    A map of one position has no variance: out and dx are 0.

    Args:
        eps: Added to the variance for numerical stability.
        slots: Running statistics by index in the batch, N C 1 1, as the 2018 notebook used them at test time; None for
            instance normalization as published.

    Shapes: x, out, dout and dx are N C H W.
    Source: Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022.
    """

    eps: float = 1e-8
    slots: SlotStatistics | None = None

    def forward(self, x: Float[Tensor, "*N C H W"]) -> tuple[Float[Tensor, "*N C H W"], Cache]:
        """Return the output and the cache for backward. Updates the slots, if any."""
        out, cache, moments = standardize(x, MAP, self.eps)
        if self.slots is not None:
            self.slots.update(moments)
        return out, cache

    def backward(self, dout: Float[Tensor, "*N C H W"], cache: Cache) -> tuple[Float[Tensor, "*N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        return standardize_backward(dout, cache, MAP), {}

    def for_inference(self) -> Layer:
        """Return the normalization by the slots, or this layer if there are none."""
        return self if self.slots is None else FixedStandardization(self.slots, self.eps)

    def recompute_output(self, cache: Cache) -> Tensor:
        """Return the output of forward."""
        return cache.out()

    def buffers(self) -> dict[str, Tensor]:
        """Return the slots' averages, if there are slots."""
        return self.slots.buffers() if self.slots is not None else {}
