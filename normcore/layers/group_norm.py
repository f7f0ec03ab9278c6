"""Group normalization: every group of channels of every sample standardized over its channels and positions."""

from dataclasses import dataclass

from torch import Tensor

from normcore.layers.layer import Gradients
from normcore.layers.standardization import Cache, standardize, standardize_backward

GROUP = (2, 3, 4)  # the axes of a group in N G C/G H W


@dataclass(frozen=True)
class GroupNorm:
    """out = (x − mean) · rstd over the C/G channels of a group, H and W, at test time too. Nothing is learned.

    Backward: standardization's, over the same. One group is layer, C groups are instance normalization.

    Shapes: x, out, dout, dx are N C H W, C a multiple of groups. Source: Wu, He 2018, arXiv:1803.08494.
    """

    groups: int
    eps: float = 1e-8

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and x with its moments by group. Raises RuntimeError if the channels do not divide."""
        out, cache, _ = standardize(self._grouped(x), GROUP, self.eps)
        return out.flatten(1, 2), cache

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return self.forward(x)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        return standardize_backward(self._grouped(dout), cache, GROUP).flatten(1, 2), {}

    def recompute_output(self, cache: Cache) -> Tensor:
        """The output of forward."""
        return cache.out().flatten(1, 2)

    def parameters(self) -> dict[str, Tensor]:
        """None: no scale or shift is learned."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def _grouped(self, x: Tensor) -> Tensor:
        samples, channels, height, width = x.shape
        return x.reshape(samples, self.groups, channels // self.groups, height, width)
