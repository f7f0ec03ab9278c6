"""Layer normalization: each image standardized over its own channels and positions.

Instance normalization differs in the axes alone. Each has a file and a class of its own, so that both published
normalizations are read whole; the arithmetic that they share is in standardization.py and fixed_standardization.py.
"""

from dataclasses import dataclass

from torch import Tensor

from normcore.annotations import Float
from normcore.layers.fixed_standardization import FixedStandardization
from normcore.layers.layer import Gradients, Layer
from normcore.layers.slot_statistics import SlotStatistics
from normcore.layers.standardization import Cache, standardize, standardize_backward

SAMPLE = (-3, -2, -1)  # the axes C, H, W: all values of one image


@dataclass(frozen=True)
class LayerNorm:
    """Normalize each image to mean 0 and variance 1 over its channels and positions, without scale or shift.

    Forward:  out = (x − mean) · rstd, rstd = (var + eps)^-½, mean and biased variance over C, H, W.
    Backward: dx = rstd · (dout − mean(dout) − out · mean(dout · out)), means over C, H, W.
    At test time: the same, or with slots FixedStandardization by them.

    Args:
        eps: Added to the variance for numerical stability.
        slots: Running statistics by index in the batch, N 1 1 1, as the 2018 notebook used them at test time; None for
            layer normalization as published.

    >>> layer = LayerNorm()
    >>> out, cache = layer.forward(torch.randn(2, 3, 4, 4))
    >>> dx, gradients = layer.backward(torch.ones_like(out), cache)

    Shapes: x, out, dout and dx are N C H W.
    Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450.
    """

    eps: float = 1e-8
    slots: SlotStatistics | None = None

    def forward(self, x: Float[Tensor, "*N C H W"]) -> tuple[Float[Tensor, "*N C H W"], Cache]:
        """Return the output and the cache for backward. Updates the slots, if any."""
        out, cache, moments = standardize(x, SAMPLE, self.eps)
        if self.slots is not None:
            self.slots.update(moments)
        return out, cache

    def backward(self, dout: Float[Tensor, "*N C H W"], cache: Cache) -> tuple[Float[Tensor, "*N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        return standardize_backward(dout, cache, SAMPLE), {}

    def for_inference(self) -> Layer:
        """Return the normalization by the slots, or this layer if there are none."""
        return self if self.slots is None else FixedStandardization(self.slots, self.eps)

    def recompute_output(self, cache: Cache) -> Tensor:
        """Return the output of forward."""
        return cache.out()

    def buffers(self) -> dict[str, Tensor]:
        """Return the slots' averages, if there are slots."""
        return self.slots.buffers() if self.slots is not None else {}
