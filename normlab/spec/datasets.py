"""The sizes and classes of the data sets, by which the service checks a spec. The worker loads the images."""

from dataclasses import dataclass
from typing import Literal

DatasetName = Literal["stl10", "digits", "cifar10", "fashion_mnist", "folder", "synthetic"]


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of a data set before it is loaded.

    image_size: the default height and width, in pixels. train, test: how many images each split has. classes: how many
    classes it has. None: only the files can tell.
    """

    image_size: int
    train: int | None = None
    test: int | None = None
    classes: int | None = 10


# Digits are 8×8 and are enlarged: the study's strides would leave one position of 8×8, and instance normalization of
# one position is always zero.
DATASETS: dict[DatasetName, DatasetFacts] = {
    "stl10": DatasetFacts(96, 5_000, 8_000),
    "digits": DatasetFacts(32, 1_438, 359),
    "cifar10": DatasetFacts(32, 50_000, 10_000),
    "fashion_mnist": DatasetFacts(28, 60_000, 10_000),
    "folder": DatasetFacts(96, classes=None),
    "synthetic": DatasetFacts(96, 5_000, 8_000),
}
