"""Group normalization: each group of channels of each image standardized over its channels and positions."""

from dataclasses import dataclass

from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients
from normcore.layers.standardization import Cache, standardize, standardize_backward

GROUP = (-3, -2, -1)  # the axes C/G, H, W of N G C/G H W: all values of one group of one image


@dataclass(frozen=True)
class GroupNorm:
    """Normalize each group of channels of each image to mean 0 and variance 1, without scale or shift.

    One group is layer normalization, and C groups are instance normalization.

    Forward:  out = (x − mean) · rstd, rstd = (var + eps)^-½, mean and biased variance over a group's channels, H, W.
    Backward: dx = rstd · (dout − mean(dout) − out · mean(dout · out)), means over a group's channels, H, W.

    Args:
        groups: How many groups the C channels are divided into; divides C.
        eps: Added to the variance for numerical stability.

    Shapes: x, out, dout and dx are N C H W.
    Source: Wu, He 2018, arXiv:1803.08494.
    """

    groups: int
    eps: float = 1e-8

    def forward(self, x: Float[Tensor, "*N C H W"]) -> tuple[Float[Tensor, "*N C H W"], Cache]:
        """Return the output and the cache for backward. Raises RuntimeError if groups does not divide C."""
        out, cache, _ = standardize(self._grouped(x), GROUP, self.eps)
        return out.flatten(-4, -3), cache

    def backward(self, dout: Float[Tensor, "*N C H W"], cache: Cache) -> tuple[Float[Tensor, "*N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        return standardize_backward(self._grouped(dout), cache, GROUP).flatten(-4, -3), {}

    def recompute_output(self, cache: Cache) -> Tensor:
        """Return the output of forward."""
        return cache.out().flatten(-4, -3)

    def _grouped(self, x: Tensor) -> Tensor:
        """Return x as N G C/G H W."""
        *images, channels, height, width = x.shape
        return x.reshape(*images, self.groups, channels // self.groups, height, width)
