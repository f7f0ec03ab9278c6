"""Running statistics by an image's index in the batch: the mistake of the 2018 notebook, kept to reproduce it."""

from dataclasses import dataclass

from torch import Tensor

from normcore.layers.standardization import Moments


@dataclass(frozen=True)
class SlotStatistics:
    """One running average for each slot: running[n] ← momentum · running[n] + (1 − momentum) · that of image n.

    At test time image n of a batch is normalized by slot n, which is by whatever images had that index in training.
    A batch of fewer than N images updates, and is normalized by, the first slots alone.

    Args:
        mean: The running means: N 1 1 1 for layer and N C 1 1 for instance normalization, N images in a training batch.
        var: The running biased variances, of the same shape.
        momentum: The fraction of the old average that each update keeps.
    """

    mean: Tensor
    var: Tensor
    momentum: float

    def update(self, batch: Moments) -> None:
        """Average in the moments of one training batch. Raises ValueError for more images than there are slots."""
        used = self.moments(batch.mean.shape[-4])
        used.mean.lerp_(batch.mean, 1 - self.momentum)
        used.var.lerp_(batch.var, 1 - self.momentum)

    def moments(self, images: int) -> Moments:
        """Return views of the first slots, one for each image. Raises ValueError for more images than slots."""
        slots = self.mean.shape[-4]
        if images > slots:
            raise ValueError(f"{images} images do not fit {slots} slots")
        return Moments(self.mean.narrow(-4, 0, images), self.var.narrow(-4, 0, images))

    def buffers(self) -> dict[str, Tensor]:
        """Return the two averages."""
        return {"running_mean": self.mean, "running_var": self.var}
