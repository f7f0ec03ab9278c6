"""Root mean square normalization: division by the root of the mean square; no mean is subtracted."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.layers.layer import Gradients


class Cache(NamedTuple):
    """x: as it came in, which the layer before keeps anyway; rrms: (mean(x²) + eps)^-½, of length 1 along the axes."""

    x: Tensor
    rrms: Tensor


@dataclass(frozen=True)
class RMSNorm:
    """out = x · rrms, with rrms = (mean(x²) + eps)^-½ over the axes, at test time too. Nothing is learned.

    Backward: dx = rrms · (dout − out · mean(dout · out)), the mean over the axes.

    axes: (1, 2, 3), a sample's channels and positions, or (2, 3), a map's positions alone, as filter response
    normalization has them.

    Shapes: x, out, dout, dx are N C H W. Sources: Zhang, Sennrich 2019, arXiv:1910.07467; for the maps
    Singh, Krishnan 2019, arXiv:1911.09737.
    """

    axes: tuple[int, ...] = (1, 2, 3)
    eps: float = 1e-8

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and x and rrms for backward."""
        rrms = torch.rsqrt(x.square().mean(self.axes, keepdim=True) + self.eps)
        return x * rrms, Cache(x, rrms)

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return self.forward(x)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        out, rrms = self.recompute_output(cache), cache.rrms
        return rrms * (dout - out * (dout * out).mean(self.axes, keepdim=True)), {}

    def recompute_output(self, cache: Cache) -> Tensor:
        """The output of forward."""
        return cache.x * cache.rrms

    def parameters(self) -> dict[str, Tensor]:
        """None: no scale is learned."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
