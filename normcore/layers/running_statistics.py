"""Mean and variance averaged over training batches, for use at test time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.layers.standardization import Moments


@dataclass(frozen=True)
class RunningStatistics:
    """After each batch: running ← momentum · running + (1 − momentum) · batch's, mean and biased variance alike.

    Shapes: mean and var as the normalization's moments: 1 C 1 1 for batch normalization.
    """

    mean: Tensor
    var: Tensor
    momentum: float

    def update(self, batch: Moments) -> None:
        """Take one training batch's moments in."""
        self.mean.lerp_(batch.mean, 1 - self.momentum)
        self.var.lerp_(batch.var, 1 - self.momentum)

    def standardize(self, x: Tensor, eps: float) -> Tensor:
        """(x − running mean) · (running var + eps)^-½."""
        return (x - self.mean) * torch.rsqrt(self.var + eps)

    def buffers(self) -> dict[str, Tensor]:
        """The two averages."""
        return {"running_mean": self.mean, "running_var": self.var}
