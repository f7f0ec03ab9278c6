"""Data sets by name: what an experiment trains and is tested on. A new one is a file here and a line in LOADERS."""

from collections.abc import Callable
from pathlib import Path

from worker.datasets import cifar10, digits, fashion_mnist, folder, stl10, synthetic
from worker.datasets.downloads import DatasetUnavailable
from worker.datasets.splits import ImageData, Request, Split

__all__ = ["LOADERS", "DatasetUnavailable", "ImageData", "Split", "load"]

LOADERS: dict[str, Callable[[Request], ImageData]] = {
    "cifar10": cifar10.load,
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "folder": folder.load,
    "stl10": stl10.load,
    "synthetic": synthetic.load,
}


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
    if name not in LOADERS:
        raise ValueError(f"no data set is called {name!r}: take one of {', '.join(LOADERS)}")
    return LOADERS[name](Request(data_dir, image_size, train_size, test_size, folder))
