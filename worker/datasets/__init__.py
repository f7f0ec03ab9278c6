"""Data sets by name: what an experiment trains and is tested on. A new one is a file here and a name in NAMES."""

from importlib import import_module
from pathlib import Path
from typing import cast

from worker.datasets.downloads import DatasetUnavailable
from worker.datasets.splits import ImageData, Request, Split

__all__ = ["NAMES", "DatasetUnavailable", "ImageData", "Split", "load"]

NAMES = ("cifar10", "digits", "fashion_mnist", "folder", "stl10", "synthetic")


def load(
    name: str,
    *,
    data_dir: Path,
    image_size: int,
    train_size: int | None,
    test_size: int | None,
    folder: str | None = None,
) -> ImageData:
    """The data set of that name, its images at image_size × image_size.

    data_dir: where public data sets are kept and looked for. train_size, test_size: how many images, None for all.
    folder: below data_dir, for the data set `folder` alone.

    Raises: ValueError if there is no such data set, or not that many images; DatasetUnavailable if it is not to be had.
    """
    if name not in NAMES:
        raise ValueError(f"no data set is called {name!r}: take one of {', '.join(NAMES)}")
    # Only now: torchvision, which some of them read files with, takes longer to import than a worker needs to start.
    loader = import_module(f"worker.datasets.{name}")
    return cast(ImageData, loader.load(Request(data_dir, image_size, train_size, test_size, folder)))
