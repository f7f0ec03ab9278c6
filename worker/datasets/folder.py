"""Any images of the user's own, in torchvision's ImageFolder layout: data_dir/folder/{train,test}/class/image.png."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional as transforms

from worker.datasets.downloads import DatasetUnavailable
from worker.datasets.splits import ImageData, Request, Split, choose


def load(request: Request) -> ImageData:
    """Images of any size: the shorter side is resized to image_size, then the middle square is taken.

    Classes are the folders' names, numbered in alphabetical order. Only the images chosen are opened.

    Raises: ValueError if the folder is not named or lies outside data_dir; DatasetUnavailable if the layout is not
    as above or an image cannot be read.
    """
    if not request.folder:
        raise ValueError("the data set 'folder' needs the folder's name, relative to the data directory")
    data_dir = request.data_dir.resolve()
    folder = data_dir / request.folder
    if not folder.resolve().is_relative_to(data_dir):
        raise ValueError(f"the folder {request.folder!r} lies outside the data directory: name one inside it")
    train, test = _listing(folder / "train"), _listing(folder / "test")
    if train.classes != test.classes:
        raise DatasetUnavailable(
            f"{folder}/train and {folder}/test should hold the same classes; "
            f"only one of them has {', '.join(sorted(set(train.classes) ^ set(test.classes)))}"
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
            f"{part} is not a folder of images ({error}). Expected one folder a class in it, "
            f"each holding images: {part}/cat/1.png, {part}/dog/1.png, …"
        ) from error


def _split(listing: ImageFolder, size: int | None, image_size: int, data_dir: Path) -> Split:
    labels = np.asarray(listing.targets)
    chosen = choose(labels, size)
    images = torch.empty(len(chosen), 3, image_size, image_size, dtype=torch.uint8)
    for out, index in zip(images, chosen.tolist(), strict=True):
        out.copy_(_square(_read(Path(listing.samples[index][0]), data_dir), image_size))
    return Split(images, torch.from_numpy(labels)[chosen].long())


def _read(path: Path, data_dir: Path) -> Tensor:
    """An image file as 3 H W uint8; transparency is dropped."""
    if not path.resolve().is_relative_to(data_dir):
        raise DatasetUnavailable(f"{path} is a link out of the data directory: copy the image there instead")
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                # Pillow would clip such values at 255, most of a picture to white.
                raise DatasetUnavailable(f"{path} has more than 8 bits a channel: convert it to 8")
            # By way of RGBA because Pillow warns of a palette's transparency when it is dropped at once.
            pixels = np.array(image.convert("RGBA").convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetUnavailable(f"{path} cannot be read as an image: {error}. Replace or remove it") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _square(image: Tensor, image_size: int) -> Tensor:
    resized = transforms.resize(image, [image_size], antialias=True)  # one length: that of the shorter side
    middle: Tensor = transforms.center_crop(resized, [image_size])
    return middle
