"""Fashion-MNIST: 60,000 training and 10,000 test images of 28×28 in grey, clothes in ten classes.

Source: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747.
"""

from pathlib import Path

from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import download_url

from worker.datasets import idx
from worker.datasets.downloads import DatasetUnavailable, downloading, with_md5, with_wrong_md5
from worker.datasets.splits import ImageData, Request, Split, make_split

CLASSES = 10


def load(request: Request, dataset: type[FashionMNIST] = FashionMNIST) -> ImageData:
    """Return both splits, from data_dir/fashion-mnist or torchvision's folder. The first use downloads to the latter.

    Raises: DatasetUnavailable if the files are missing and the download fails, or a file is broken.
    """
    debian_folder, torchvision_folder = _folders(request.data_dir)
    folder = debian_folder if _is_complete(debian_folder, dataset) else torchvision_folder
    if not _is_complete(folder, dataset):
        with downloading(
            "Fashion-MNIST", request.data_dir, _remedy(request.data_dir, dataset),
            find_wrong=lambda: with_wrong_md5(folder, dataset.resources),
        ):  # fmt: skip
            _download(folder, dataset)
    try:
        return ImageData(
            train=_split(folder, "train", request.train_size, request.image_size),
            test=_split(folder, "t10k", request.test_size, request.image_size),
            classes=CLASSES,
            names=tuple(dataset.classes),
        )
    except idx.IdxError as error:
        raise DatasetUnavailable(f"{error}. Remove it, then: {_remedy(request.data_dir, dataset)}") from error


def _folders(data_dir: Path) -> tuple[Path, Path]:
    return data_dir / "fashion-mnist", data_dir / "FashionMNIST" / "raw"


def _is_complete(folder: Path, dataset: type[FashionMNIST]) -> bool:
    return all(_file(folder, name.removesuffix(".gz")).is_file() for name, _ in dataset.resources)


def _file(folder: Path, name: str) -> Path:
    """Return the path of a file: its own name if torchvision has unpacked it, else its name with .gz."""
    return folder / name if (folder / name).is_file() else folder / f"{name}.gz"


def _download(folder: Path, dataset: type[FashionMNIST]) -> None:
    for name, md5 in dataset.resources:
        if not _file(folder, name.removesuffix(".gz")).is_file():
            # Renamed after its checksum is checked, so that no other worker reads an incomplete file.
            download_url(f"{dataset.mirrors[0]}{name}", folder, f"{name}.partial", md5)
            (folder / f"{name}.partial").rename(folder / name)


def _split(folder: Path, part: str, size: int | None, image_size: int) -> Split:
    images = idx.read(_file(folder, f"{part}-images-idx3-ubyte"), axes=3)
    labels_file = _file(folder, f"{part}-labels-idx1-ubyte")
    labels = idx.read(labels_file, axes=1)
    if len(labels) != len(images) or labels.max() >= CLASSES:
        largest = int(labels.max())
        raise idx.IdxError(
            f"{labels_file}: expected {len(images):,} labels 0 … 9, got {len(labels):,} labels 0 … {largest}"
        )
    return make_split(images.unsqueeze(1), labels, size, image_size)


def _remedy(data_dir: Path, dataset: type[FashionMNIST]) -> str:
    debian_folder, torchvision_folder = _folders(data_dir)
    return (
        f"Put {with_md5(dataset.resources)} into {debian_folder} or {torchvision_folder}, gzipped or not. "
        f"Their address is {dataset.mirrors[0]}. Or install Debian's package dataset-fashion-mnist (its gzip files "
        f"have other MD5s) and run: ln -s /usr/share/datasets/fashion-mnist {debian_folder}. The data sets digits and "
        "synthetic need no download."
    )
