"""The user's own images, in torchvision's ImageFolder layout: data_dir/folder/{train,test}/class/image.png."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional as transforms

from worker.datasets.downloads import DatasetUnavailable
from worker.datasets.splits import ImageData, Request, Split, choose
from worker.errors import InvalidExperiment


def load(request: Request) -> ImageData:
    """Return both splits. The shorter side of each image is resized to image_size, then the middle square is taken.

    The classes are the names of the folders, numbered in alphabetical order. Only the chosen images are opened.

    Raises: InvalidExperiment if no folder is named or it is outside data_dir; DatasetUnavailable if the layout differs
    from the one above or an image cannot be read.
    """
    if not request.folder:
        raise InvalidExperiment("the data set 'folder' needs the field folder: a path relative to the data directory")
    data_dir = request.data_dir.resolve()
    folder = data_dir / request.folder
    if not folder.resolve().is_relative_to(data_dir):
        raise InvalidExperiment(f"the folder {request.folder!r} is outside the data directory: name one inside it")
    train, test = _listing(folder / "train"), _listing(folder / "test")
    if train.classes != test.classes:
        raise DatasetUnavailable(
            f"{folder}/train and {folder}/test must have the same classes, but only one of them has "
            + ", ".join(sorted(set(train.classes) ^ set(test.classes)))
        )
    return ImageData(
        train=_split(train, request.train_size, request.image_size, data_dir),
        test=_split(test, request.test_size, request.image_size, data_dir),
        classes=len(train.classes),
    )


def _listing(part: Path) -> ImageFolder:
    try:
        return ImageFolder(part)
    except OSError as error:
        raise DatasetUnavailable(
            f"{part} is not a folder of images ({error}). Put one folder of images per class into it: "
            f"{part}/cat/1.png, {part}/dog/1.png, …"
        ) from error


def _split(listing: ImageFolder, size: int | None, image_size: int, data_dir: Path) -> Split:
    labels = np.asarray(listing.targets)
    chosen = choose(labels, size)
    images = torch.empty(len(chosen), 3, image_size, image_size, dtype=torch.uint8)
    for out, index in zip(images, chosen.tolist(), strict=True):
        out.copy_(_square(_read(Path(listing.samples[index][0]), data_dir), image_size))
    return Split(images, torch.from_numpy(labels)[chosen].long())


def _read(path: Path, data_dir: Path) -> Tensor:
    """Return an image file as 3 H W uint8, without its transparency."""
    if not path.resolve().is_relative_to(data_dir):
        raise DatasetUnavailable(f"{path} is a link to a file outside the data directory: copy the image instead")
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                # Pillow would clip these values at 255, and most of the image would be white.
                raise DatasetUnavailable(f"{path} has more than 8 bits per channel: convert it to 8")
            # Converted to RGBA first, because Pillow warns if the transparency of a palette is dropped directly.
            pixels = np.array(image.convert("RGBA").convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetUnavailable(f"{path} cannot be read as an image: {error}. Replace or remove the file") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _square(image: Tensor, image_size: int) -> Tensor:
    resized = transforms.resize(image, [image_size], antialias=True)  # one size: the shorter side
    middle: Tensor = transforms.center_crop(resized, [image_size])
    return middle
