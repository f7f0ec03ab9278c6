"""Arrange folders of small images."""

import numpy as np
from PIL import Image

from tests.worker.datasets.layouts import compass, write_image
from worker.datasets import load

TWO_CLASSES = ("train/cat/1", "train/cat/2", "train/cat/3", "train/dog/1", "train/dog/2", "test/cat/9", "test/dog/9")


def write_pets(folder, names=TWO_CLASSES, size=16):
    """Write one image per name, each of another brightness."""
    for number, name in enumerate(names):
        write_image(folder / f"{name}.png", compass(size) + np.uint8(number))
    return folder


def load_folder(data_dir, folder="pets", **options):
    """Load the folder's images at 16×16."""
    defaults = {"image_size": 16, "train_size": None, "test_size": None}
    return load("folder", data_dir=data_dir, folder=folder, **defaults | options)


def grey_ramp(size=16, highest=65_535):
    """Return a grey image, H W uint16, whose columns rise from 0 to the highest value."""
    return np.tile(np.linspace(0, highest, size).round().astype(np.uint16), (size, 1))


def save(path, image, **options):
    """Save an image of Pillow or an array, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path
