"""The 2018 notebook's mistake: running statistics of layer and instance normalization, kept by place in the batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.layers.standardization import Moments


@dataclass(frozen=True)
class SlotStatistics:
    """An average a slot: running[n] ← momentum · running[n] + (1 − momentum) · that of the batch's n-th image.

    At test time the n-th image of a batch is normalized by slot n, that is by what happened to lie there in training.
    A batch shorter than N moves, and is normalized by, the first slots alone.

    Shapes: mean and var N 1 1 1 for layer, N C 1 1 for instance normalization, N being the training batch's size.
    """

    mean: Tensor
    var: Tensor
    momentum: float

    def update(self, batch: Moments) -> None:
        """Take one training batch's moments in. Raises ValueError for more images than there are slots."""
        used = self._slots(len(batch.mean))
        self.mean[used].lerp_(batch.mean, 1 - self.momentum)
        self.var[used].lerp_(batch.var, 1 - self.momentum)

    def standardize(self, x: Tensor, eps: float) -> Tensor:
        """(x − running mean) · (running var + eps)^-½. Raises ValueError for more images than there are slots."""
        used = self._slots(len(x))
        return (x - self.mean[used]) * torch.rsqrt(self.var[used] + eps)

    def buffers(self) -> dict[str, Tensor]:
        """The two averages."""
        return {"running_mean": self.mean, "running_var": self.var}

    def _slots(self, images: int) -> slice:
        if images > len(self.mean):
            raise ValueError(f"{images} images do not fit {len(self.mean)} slots")
        return slice(images)
