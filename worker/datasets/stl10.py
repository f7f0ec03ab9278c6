"""STL-10, the study's data set: its labelled part, 5,000 and 8,000 colour images of 96×96. The unlabelled is not read.

Source: Coates, Lee, Ng 2011, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS.
"""

from pathlib import Path

import torch
from torchvision.datasets import STL10

from worker.datasets.downloads import DatasetUnavailable, downloading, with_md5
from worker.datasets.splits import ImageData, Request, Split, make_split

CLASSES = 10
BYTES_PER_IMAGE = 3 * 96 * 96


class LabelledSTL10(STL10):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's STL-10, content with the four labelled files and trusting them by their sizes.

    The archive is held to its MD5 when it is downloaded or found; torchvision would hold what was unpacked to MD5s
    again at every start, the 2.6 GB of unlabelled images included, which no experiment here looks at.
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
    """The labelled images; downloaded on first use.

    Raises: DatasetUnavailable if they are not there and cannot be downloaded, or are not STL-10's.
    """
    data_dir = request.data_dir
    try:
        train = dataset(data_dir, "train")
    except RuntimeError:
        with downloading("STL-10", data_dir, _remedy(data_dir, dataset)):
            train = dataset(data_dir, "train", download=True)
    return ImageData(
        train=_split(train, request.train_size, request.image_size),
        test=_split(dataset(data_dir, "test"), request.test_size, request.image_size),
        classes=CLASSES,
    )


def _split(part: LabelledSTL10, size: int | None, image_size: int) -> Split:
    # torchvision turns the file's columns into rows and its labels 1 … 10 into 0 … 9; a 0 there comes out as 255.
    if part.labels.max() >= CLASSES:
        folder = Path(part.root) / part.base_folder
        raise DatasetUnavailable(f"the labels of {folder}/{part.split}_y.bin are not all 1 … 10: unpack it anew")
    return make_split(torch.from_numpy(part.data), torch.from_numpy(part.labels), size, image_size)


def _remedy(data_dir: Path, dataset: type[LabelledSTL10]) -> str:
    return (
        f"Put {with_md5([(dataset.filename, dataset.tgz_md5)])} into {data_dir}, or of what it holds "
        f"{with_md5(dataset.train_list + dataset.test_list)} into {data_dir / dataset.base_folder}. "
        f"It comes from {dataset.url}. The data sets digits and synthetic need no download."
    )
