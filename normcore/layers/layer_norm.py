"""Layer normalization: every sample standardized over its own channels and positions."""

from dataclasses import dataclass

from torch import Tensor

from normcore.layers.layer import Gradients
from normcore.layers.slot_statistics import SlotStatistics
from normcore.layers.standardization import Cache, standardize, standardize_backward

SAMPLE = (1, 2, 3)  # the axes C, H, W of an N C H W tensor


@dataclass(frozen=True)
class LayerNorm:
    """out = (x − mean) · rstd over C, H, W, by the sample's own statistics at test time too. Nothing is learned.

    Backward: standardization's, over C, H, W.

    slots: the 2018 notebook's mistake, running statistics N 1 1 1 by the image's place in the batch, used at test time.

    Shapes: x, out, dout, dx are N C H W. Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450.
    """

    eps: float = 1e-8
    slots: SlotStatistics | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and x with its moments for backward."""
        out, cache, moments = standardize(x, SAMPLE, self.eps)
        if self.slots is not None:
            self.slots.update(moments)
        return out, cache

    def infer(self, x: Tensor) -> Tensor:
        """By the sample's own statistics, or its slot's."""
        if self.slots is not None:
            return self.slots.standardize(x, self.eps)
        return standardize(x, SAMPLE, self.eps)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        return standardize_backward(dout, cache, SAMPLE), {}

    def recompute_output(self, cache: Cache) -> Tensor:
        """The output of forward."""
        return cache.out()

    def parameters(self) -> dict[str, Tensor]:
        """None: no scale or shift is learned."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """The slots' averages, if there are slots."""
        return self.slots.buffers() if self.slots is not None else {}
