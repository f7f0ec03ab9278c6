"""Fashion-MNIST: 60,000 and 10,000 grey images of 28×28, clothes in ten classes.

Source: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747.
"""

from pathlib import Path

from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import download_url

from worker.datasets import idx
from worker.datasets.downloads import DatasetUnavailable, downloading, with_md5
from worker.datasets.splits import ImageData, Request, Split, make_split

CLASSES = 10


def load(request: Request, dataset: type[FashionMNIST] = FashionMNIST) -> ImageData:
    """Both splits, from data_dir/fashion-mnist or where torchvision keeps them; downloaded there on first use.

    Raises: DatasetUnavailable if they are not there and cannot be downloaded, or a file is broken.
    """
    plain, torchvisions = _folders(request.data_dir)
    folder = plain if _holds_all(plain, dataset) else torchvisions
    if not _holds_all(folder, dataset):
        with downloading("Fashion-MNIST", request.data_dir, _remedy(request.data_dir, dataset)):
            _download(folder, dataset)
    try:
        return ImageData(
            train=_split(folder, "train", request.train_size, request.image_size),
            test=_split(folder, "t10k", request.test_size, request.image_size),
            classes=CLASSES,
        )
    except idx.IdxError as error:
        raise DatasetUnavailable(f"{error}. Remove it, then: {_remedy(request.data_dir, dataset)}") from error


def _folders(data_dir: Path) -> tuple[Path, Path]:
    return data_dir / "fashion-mnist", data_dir / "FashionMNIST" / "raw"


def _holds_all(folder: Path, dataset: type[FashionMNIST]) -> bool:
    return all(_file(folder, name.removesuffix(".gz")).is_file() for name, _ in dataset.resources)


def _file(folder: Path, name: str) -> Path:
    """The file under its own name, as torchvision unpacks it, or gzipped."""
    return folder / name if (folder / name).is_file() else folder / f"{name}.gz"


def _download(folder: Path, dataset: type[FashionMNIST]) -> None:
    for name, md5 in dataset.resources:
        if not _file(folder, name.removesuffix(".gz")).is_file():
            # Renamed once whole and checked, so that no other worker ever reads half a file.
            download_url(f"{dataset.mirrors[0]}{name}", folder, f"{name}.partial", md5)
            (folder / f"{name}.partial").rename(folder / name)


def _split(folder: Path, part: str, size: int | None, image_size: int) -> Split:
    images = idx.read(_file(folder, f"{part}-images-idx3-ubyte"), axes=3)
    labels_file = _file(folder, f"{part}-labels-idx1-ubyte")
    labels = idx.read(labels_file, axes=1)
    if len(labels) != len(images) or labels.max() >= CLASSES:
        raise idx.IdxError(f"{labels_file} should label {len(images):,} images 0 … 9, but has other labels")
    return make_split(images.unsqueeze(1), labels, size, image_size)


def _remedy(data_dir: Path, dataset: type[FashionMNIST]) -> str:
    plain, torchvisions = _folders(data_dir)
    return (
        f"Put {with_md5(dataset.resources)} into {plain} or {torchvisions}, gzipped or not; they come from "
        f"{dataset.mirrors[0]}. Or install Debian's package dataset-fashion-mnist (its gzip files have other MD5s) and "
        f"run: ln -s /usr/share/datasets/fashion-mnist {plain}. The data sets digits and synthetic need no download."
    )
