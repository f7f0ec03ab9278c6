"""CIFAR-10: 50,000 training and 10,000 test images of 32×32 in colour, in ten classes.

Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from worker.datasets.downloads import downloading, with_md5, with_wrong_md5
from worker.datasets.splits import ImageData, Request, Split, make_split

CLASSES = 10


def load(request: Request, dataset: type[CIFAR10] = CIFAR10) -> ImageData:
    """Return both splits. The first use downloads them.

    The files are pickles, and a pickle can run any program. torchvision opens a file only if its MD5 equals the one
    in torchvision's source, so other files in data_dir are never opened.

    Raises: DatasetUnavailable if the files are missing or differ, and the download fails.
    """
    data_dir = request.data_dir
    try:
        train = dataset(data_dir, train=True)
    except RuntimeError:
        with downloading(
            "CIFAR-10", data_dir, _remedy(data_dir, dataset), find_wrong=lambda: _find_wrong(data_dir, dataset)
        ):
            train = dataset(data_dir, train=True, download=True)
    return ImageData(
        train=_split(train, request.train_size, request.image_size),
        test=_split(dataset(data_dir, train=False), request.test_size, request.image_size),
        classes=CLASSES,
        names=tuple(train.classes),
    )


def _split(part: CIFAR10, size: int | None, image_size: int) -> Split:
    images = torch.from_numpy(part.data).permute(0, 3, 1, 2)  # from torchvision's N H W C
    return make_split(images, torch.from_numpy(np.asarray(part.targets)), size, image_size)


def _unpacked(dataset: type[CIFAR10]) -> list[tuple[str, str] | list[str]]:
    return [*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])]


def _find_wrong(data_dir: Path, dataset: type[CIFAR10]) -> Iterator[str]:
    yield from with_wrong_md5(data_dir, [(dataset.filename, dataset.tgz_md5)])
    yield from with_wrong_md5(data_dir / dataset.base_folder, _unpacked(dataset))


def _remedy(data_dir: Path, dataset: type[CIFAR10]) -> str:
    unpacked = _unpacked(dataset)
    return (
        f"Put {with_md5([(dataset.filename, dataset.tgz_md5)])} into {data_dir}, or the files in it, "
        f"{with_md5(unpacked)}, into {data_dir / dataset.base_folder}. "
        f"Its address is {dataset.url}. The data sets digits and synthetic need no download."
    )
