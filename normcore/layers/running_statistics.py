"""Mean and variance averaged over training batches, for use at test time."""

from dataclasses import dataclass

from torch import Tensor

from normcore.layers.standardization import Moments


@dataclass(frozen=True)
class RunningStatistics:
    """Running averages of the mean and of the biased variance, updated in place.

    After each batch: running ← momentum · running + (1 − momentum) · batch's. PyTorch's momentum is 1 minus this one,
    and PyTorch averages the unbiased variance.

    Args:
        mean: The running mean, 1 C 1 1 for batch normalization.
        var: The running biased variance, of the same shape.
        momentum: The fraction of the old average that each update keeps.
    """

    mean: Tensor
    var: Tensor
    momentum: float

    def update(self, batch: Moments) -> None:
        """Average in the moments of one training batch."""
        self.mean.lerp_(batch.mean, 1 - self.momentum)
        self.var.lerp_(batch.var, 1 - self.momentum)

    def moments(self, images: int) -> Moments:
        """Return the averages, which are the same for any number of images."""
        return Moments(self.mean, self.var)

    def buffers(self) -> dict[str, Tensor]:
        """Return the two averages."""
        return {"running_mean": self.mean, "running_var": self.var}
