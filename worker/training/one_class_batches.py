"""Batches whose images all have one class. Their gradients do not tell that class from the others."""

from collections.abc import Sequence

import torch
from torch import Tensor


def count_one_class_batches(labels: Tensor, batches: Sequence[Tensor]) -> int:
    """Return how many batches have at least two images, all of one class.

    labels: the class of every training image, N int64. batches: the indices of each batch's images, as
    `Training.batches(0)` returns them for the first epoch.
    """
    return sum(len(batch) > 1 and len(torch.unique(labels[batch])) == 1 for batch in batches)
