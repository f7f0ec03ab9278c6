"""STL-10, the data set of the study: 5,000 training and 8,000 test images of 96×96 in colour, in ten classes.

Its 100,000 unlabelled images are not used.

Source: Coates, Lee, Ng 2011, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torchvision.datasets import STL10

from worker.datasets.downloads import DatasetUnavailable, downloading, with_md5, with_wrong_md5
from worker.datasets.splits import ImageData, Request, Split, make_split

CLASSES = 10
BYTES_PER_IMAGE = 3 * 96 * 96


class LabelledSTL10(STL10):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's STL-10 without its unlabelled files. The unpacked files are checked by their sizes.

    The MD5 of the archive is checked when it is downloaded or found. torchvision would compute the MD5s of the
    unpacked files at every start, including the 2.6 GB of unlabelled images.
    """

    train_list = STL10.train_list[:2]

    def _check_integrity(self) -> bool:
        folder = Path(self.root) / self.base_folder
        return all(
            (folder / images).is_file()
            and (folder / labels).is_file()
            and (folder / images).stat().st_size == BYTES_PER_IMAGE * (folder / labels).stat().st_size > 0
            for (images, _), (labels, _) in (self.train_list, self.test_list)
        )


def load(request: Request, dataset: type[LabelledSTL10] = LabelledSTL10) -> ImageData:
    """Return both splits. The first use downloads them.

    Raises: DatasetUnavailable if the files are missing and the download fails, or a label is not one of STL-10's.
    """
    data_dir = request.data_dir
    try:
        train = dataset(data_dir, "train")
    except RuntimeError:
        with downloading(
            "STL-10", data_dir, _remedy(data_dir, dataset), find_wrong=lambda: _find_wrong(data_dir, dataset)
        ):
            train = dataset(data_dir, "train", download=True)
    return ImageData(
        train=_split(train, request.train_size, request.image_size),
        test=_split(dataset(data_dir, "test"), request.test_size, request.image_size),
        classes=CLASSES,
        names=tuple(getattr(train, "classes", ())),  # torchvision reads them from a file that may be absent
    )


def _split(part: LabelledSTL10, size: int | None, image_size: int) -> Split:
    # torchvision transposes the images and subtracts 1 from the labels, which are 1 … 10. A label 0 becomes 255.
    if part.labels.max() >= CLASSES:
        folder = Path(part.root) / part.base_folder
        raise DatasetUnavailable(
            f"{folder}/{part.split}_y.bin: expected labels 1 … 10, got others. Unpack {part.filename} again"
        )
    return make_split(torch.from_numpy(part.data), torch.from_numpy(part.labels), size, image_size)


def _find_wrong(data_dir: Path, dataset: type[LabelledSTL10]) -> Iterator[str]:
    yield from with_wrong_md5(data_dir, [(dataset.filename, dataset.tgz_md5)])
    yield from with_wrong_md5(data_dir / dataset.base_folder, dataset.train_list + dataset.test_list)


def _remedy(data_dir: Path, dataset: type[LabelledSTL10]) -> str:
    return (
        f"Put {with_md5([(dataset.filename, dataset.tgz_md5)])} into {data_dir}, or these files from it, "
        f"{with_md5(dataset.train_list + dataset.test_list)}, into {data_dir / dataset.base_folder}. "
        f"Its address is {dataset.url}. The data sets digits and synthetic need no download."
    )
