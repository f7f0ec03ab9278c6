"""Load data sets by name. A new data set is a file in this folder and a name in NAMES."""

from importlib import import_module
from pathlib import Path
from typing import cast

from worker.datasets.downloads import DatasetUnavailable
from worker.datasets.splits import ImageData, Request, Split
from worker.errors import InvalidExperiment

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
    background: str = "#ffffff",
    skip_damaged: bool = False,
    test_fraction: float | None = None,
) -> ImageData:
    """Return the data set with this name, its images resized to image_size × image_size.

    data_dir: the folder of the data sets. train_size, test_size: the number of images, None for all. The others are for
    the data set `folder` alone: folder, which it needs, is a folder in data_dir; background is the colour under
    transparent pixels; skip_damaged leaves out files that cannot be read; test_fraction of the images are held out for
    the test if the folder has no part `test`.

    Raises: InvalidExperiment if the name is unknown or the split has fewer images; DatasetUnavailable if the files are
    missing and cannot be downloaded, or are broken.
    """
    if name not in NAMES:
        raise InvalidExperiment(f"unknown data set {name!r}: expected one of {', '.join(NAMES)}")
    # Imported late, because some data sets need torchvision, whose import takes longer than the start of a worker.
    loader = import_module(f"worker.datasets.{name}")
    request = Request(data_dir, image_size, train_size, test_size, folder, background, skip_damaged, test_fraction)
    return cast(ImageData, loader.load(request))
