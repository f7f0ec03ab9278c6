"""The common form of all data sets: two splits of 8-bit images at the size that the network takes, and their labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from worker.errors import InvalidExperiment

CHUNK = 500  # images resized at once, so that the float copies need little memory


@dataclass(frozen=True)
class Split:
    """The images and labels of one split, on the CPU.

    images: N 3 H W uint8. Read them only: the three channels of a grey image may share their memory. labels: N int64.
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ImageData:
    """A loaded data set. The labels of both splits are 0 … classes − 1."""

    train: Split
    test: Split
    classes: int


@dataclass(frozen=True)
class Request:
    """What an experiment needs of a data set.

    image_size: height and width in pixels. train_size, test_size: how many images, None for all. folder: a folder in
    data_dir, for the data set `folder`.
    """

    data_dir: Path
    image_size: int
    train_size: int | None = None
    test_size: int | None = None
    folder: str | None = None


def make_split(images: Tensor, labels: Tensor, size: int | None, image_size: int) -> Split:
    """Return the chosen images, resized (bilinear with antialiasing, if their size differs), with three channels.

    images: N C H W uint8, C = 1 or 3, H = W. labels: N of any integer type. size: as in `choose`.

    Raises: InvalidExperiment if the split has fewer images.
    """
    chosen = choose(labels.numpy(), size)
    resized = torch.empty(len(chosen), images.shape[1], image_size, image_size, dtype=torch.uint8)
    for start in range(0, len(chosen), CHUNK):
        part = images[chosen[start : start + CHUNK]]
        resized[start : start + CHUNK] = interpolate(part, (image_size, image_size), mode="bilinear", antialias=True)
    return Split(resized.expand(-1, 3, -1, -1), labels[chosen].long())


def choose(labels: NDArray[np.integer], size: int | None) -> Tensor:
    """Return the indices of a subset of this size, in file order. They are the same for every experiment.

    The images are put into one fixed order, and a subset is the first images of it. In this order every class has its
    first image before any class has its second, and later images of the classes alternate in proportion to their
    sizes. So every class is in a subset as soon as its size allows, and a larger subset contains each smaller one.

    labels: N of any integer type. size: None for all.

    Raises: InvalidExperiment if there are fewer images.
    """
    size = check_size(size, len(labels))
    order = np.random.default_rng(0).permutation(len(labels))
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels[order] == label)
        rank[of_class] = np.arange(len(of_class)) / len(of_class)
    return torch.from_numpy(np.sort(order[np.argsort(rank, kind="stable")[:size]]))


def check_size(size: int | None, available: int) -> int:
    """Return the number of images to take: size, or all available ones if size is None.

    Raises: InvalidExperiment if fewer are available.
    """
    if size is None:
        return available
    if not 1 <= size <= available:
        raise InvalidExperiment(f"expected a size of 1 to {available:,} images, or null for all of them, got {size:,}")
    return size
