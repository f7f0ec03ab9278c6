"""The common form of all data sets: two splits of 8-bit images at the size that the network takes, and their labels."""

from collections.abc import Mapping
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
class FolderDetails:
    """How a folder of the user's images became a data set.

    background: the colour under transparent pixels. held_out: the fraction of the images that was held out for the
    test; None if the folder has a part `test`. skipped: how many damaged files are left out; first_skipped: the paths
    of the first. ignored: how many files are no images of a class, by the ending of their names.
    """

    background: str
    held_out: float | None
    skipped: int
    first_skipped: tuple[str, ...]
    ignored: Mapping[str, int]


@dataclass(frozen=True)
class ImageData:
    """A loaded data set. The labels of both splits are 0 … classes − 1.

    names: of the classes; empty if they are numbers. folder: only of the user's own images.
    """

    train: Split
    test: Split
    classes: int
    names: tuple[str, ...] = ()
    folder: FolderDetails | None = None


@dataclass(frozen=True)
class Request:
    """What an experiment needs of a data set.

    image_size: height and width in pixels. train_size, test_size: how many images, None for all.

    Only of the data set `folder`: folder: a folder in data_dir. background: the colour under transparent pixels, as
    #rrggbb. skip_damaged: whether files that cannot be read are left out. test_fraction: of the images to hold out for
    the test if the folder has no part `test`; None for 0.2.
    """

    data_dir: Path
    image_size: int
    train_size: int | None = None
    test_size: int | None = None
    folder: str | None = None
    background: str = "#ffffff"
    skip_damaged: bool = False
    test_fraction: float | None = None


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
    return torch.from_numpy(np.sort(in_fixed_order(labels)[:size]))


def in_fixed_order(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the indices of all images, in the order of which `choose` takes the first.

    labels: N of any integer type.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels[order] == label)
        rank[of_class] = np.arange(len(of_class)) / len(of_class)
    return order[np.argsort(rank, kind="stable")]


def check_size(size: int | None, available: int) -> int:
    """Return the number of images to take: size, or all available ones if size is None.

    Raises: InvalidExperiment if fewer are available.
    """
    if size is None:
        return available
    if not 1 <= size <= available:
        raise InvalidExperiment(f"expected a size of 1 to {available:,} images, or null for all of them, got {size:,}")
    return size
