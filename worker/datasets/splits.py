"""What a data set is to the worker: two splits of 8-bit images at the size the network takes, and their labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

CHUNK = 500  # images resized at once: what is held as floats on the way stays small


@dataclass(frozen=True)
class Split:
    """The images of one split and the class of each, on the CPU.

    images: N 3 H W uint8; a grey image's three channels may share one memory, so read only. labels: N int64.
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ImageData:
    """A data set as an experiment sees it: labels are 0 … classes − 1 in both splits."""

    train: Split
    test: Split
    classes: int


@dataclass(frozen=True)
class Request:
    """What an experiment asks of a data set; image_size in pixels, a size of None means the whole split."""

    data_dir: Path
    image_size: int
    train_size: int | None = None
    test_size: int | None = None
    folder: str | None = None


def make_split(images: Tensor, labels: Tensor, size: int | None, image_size: int) -> Split:
    """The chosen images, resized (bilinear, antialiased, where the size differs) and in three channels.

    images: N C H W uint8, C 1 or 3, H and W alike. labels: N of any integer type.

    Raises: ValueError if size is not there.
    """
    chosen = choose(labels.numpy(), size)
    resized = torch.empty(len(chosen), images.shape[1], image_size, image_size, dtype=torch.uint8)
    for start in range(0, len(chosen), CHUNK):
        part = images[chosen[start : start + CHUNK]]
        resized[start : start + CHUNK] = interpolate(part, (image_size, image_size), mode="bilinear", antialias=True)
    return Split(resized.expand(-1, 3, -1, -1), labels[chosen].long())


def choose(labels: NDArray[np.integer], size: int | None) -> Tensor:
    """Which images make a subset of this size: indices in file order, the same for every experiment.

    They come off one fixed permutation, dealt so that each class gives its first image before any gives its second
    and from then on by its share: every class is present as soon as size allows, and a larger subset contains a
    smaller one.
    """
    size = check_size(size, len(labels))
    order = np.random.default_rng(0).permutation(len(labels))
    dealt = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels[order] == label)
        dealt[of_class] = np.arange(len(of_class)) / len(of_class)
    return torch.from_numpy(np.sort(order[np.argsort(dealt, kind="stable")[:size]]))


def check_size(size: int | None, available: int) -> int:
    """How many images to take of those there are.

    Raises: ValueError if that many are not there.
    """
    if size is None:
        return available
    if not 1 <= size <= available:
        raise ValueError(f"{size:,} images asked of a split that has {available:,}: take 1 to {available:,}, or all")
    return size
