"""Root mean square normalization: division by the root of the mean square; no mean is subtracted."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients
from normcore.layers.standardization import reciprocal_root


class Cache(NamedTuple):
    """What backward needs: x, which the layer before keeps anyway, and rrms, of length 1 along the axes."""

    x: Tensor
    rrms: Tensor


@dataclass(frozen=True)
class RMSNorm:
    """Divide by the root of the mean square over the axes, without a scale.

    Forward:  out = x · rrms, rrms = (mean(x²) + eps)^-½, the mean over the axes.
    Backward: dx = rrms · (dout − out · mean(dout · out)), the mean over the axes.
    Where the mean square overflows, out is NaN.

    Args:
        axes: The axes of the mean, counted from the right: (-3, -2, -1) for an image's channels and positions, or
            (-2, -1) for the positions of each map, as in filter response normalization.
        eps: Added to the mean square for numerical stability.

    Shapes: x, out, dout and dx are N C H W.
    Sources: Zhang, Sennrich 2019, arXiv:1910.07467; of a map Singh, Krishnan 2019, arXiv:1911.09737.
    """

    axes: tuple[int, ...] = (-3, -2, -1)
    eps: float = 1e-8

    def forward(self, x: Float[Tensor, "*N C H W"]) -> tuple[Float[Tensor, "*N C H W"], Cache]:
        """Return the output and the cache for backward."""
        rrms = reciprocal_root(x.square().mean(self.axes, keepdim=True) + self.eps)
        return x * rrms, Cache(x, rrms)

    def backward(self, dout: Float[Tensor, "*N C H W"], cache: Cache) -> tuple[Float[Tensor, "*N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        out, rrms = self.recompute_output(cache), cache.rrms
        return rrms * (dout - out * (dout * out).mean(self.axes, keepdim=True)), {}

    def recompute_output(self, cache: Cache) -> Tensor:
        """Return the output of forward."""
        return cache.x * cache.rrms
