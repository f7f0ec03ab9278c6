"""Mean and variance averaged over training batches, for use at test time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.standardization import Moments


@dataclass(frozen=True)
class RunningStatistics:
    """After each batch: running ← momentum · running + (1 − momentum) · batch's, mean and biased variance alike.

    Shapes: mean and var as the normalization's moments: 1 C 1 1 for batch normalization. The 2018 notebook kept such
    averages for layer (N 1 1 1) and instance normalization (N C 1 1) too, indexed by the image's slot in the batch:
    there a batch shorter than N moves, and is normalized by, the first slots alone.
    """

    mean: Tensor
    var: Tensor
    momentum: float

    def move(self, batch: Moments) -> None:
        """Take one training batch's moments in."""
        slots = len(batch.mean)
        self.mean[:slots].lerp_(batch.mean, 1 - self.momentum)
        self.var[:slots].lerp_(batch.var, 1 - self.momentum)

    def standardize(self, x: Tensor, eps: float) -> Tensor:
        """(x − running mean) · (running var + eps)^-½. Raises ValueError for more images than there are slots."""
        slots = len(self.mean)
        if slots > 1 and len(x) > slots:
            raise ValueError(f"statistics of {slots} slots cannot normalize {len(x)} images at once")
        used = slice(None) if slots == 1 else slice(len(x))
        return (x - self.mean[used]) * torch.rsqrt(self.var[used] + eps)

    def buffers(self) -> dict[str, Tensor]:
        """The two averages."""
        return {"running_mean": self.mean, "running_var": self.var}
