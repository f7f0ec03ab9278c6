"""The fields that choose the images."""

from typing import Annotated

from pydantic import Field

from normlab.spec.datasets import DatasetName
from normlab.spec.expectations import FORMAT
from normlab.spec.fields.labels import Text

SUBSET = (
    "A smaller number takes a fixed subset, the same for every experiment, in which the classes keep their proportions "
    "and which is part of every larger subset; `synthetic` takes the first images. Default: all images of the split."
)

Dataset = Annotated[
    DatasetName,
    Field(
        description="The images. Every image has three channels, its values are divided by 255, and nothing else is "
        "done to it: no mean is subtracted and nothing is augmented.\n\n"
        "- `stl10`: the labelled part of STL-10, 5,000 training and 8,000 test images of 96×96 pixels, 10 classes.\n"
        "- `digits`: UCI's handwritten digits, 1,438 and 359 of 8×8, enlarged to 32×32. They come with normlab.\n"
        "- `cifar10`: 50,000 and 10,000 of 32×32, 10 classes.\n"
        "- `fashion_mnist`: 60,000 and 10,000 of 28×28, 10 classes.\n"
        "- `folder`: your own images; the field `folder` names them.\n"
        "- `synthetic`: drawn shapes, 5,000 and 8,000 of any size, 10 classes. They need no download."
    ),
]
WHITE = "#ffffff"
Folder = Annotated[
    Text | None,
    Field(
        description="Only with dataset `folder`, and required there: the folder's path, relative to the worker's data "
        "directory.\n\n"
        "- Its layout is train/CLASS/IMAGE and test/CLASS/IMAGE, or CLASS/IMAGE; test_fraction is then held out. "
        "Images in folders inside a class belong to the class. Hidden files and folders are left out.\n"
        "- PNG, JPEG, TIFF, WebP, BMP, GIF, PPM and TGA are read. An image is turned by its EXIF orientation, and its "
        "middle square is cut out and resized to image_size. Grey of 16 bits is divided by 257, and grey floats from 0 "
        "to 1 are multiplied by 255.\n"
        "- The default network has as many logits as the folder has classes.\n"
        "- Everything that is wrong with the folder is reported at once. The service refuses what it can see itself."
    ),
]
TestFraction = Annotated[
    float | None,
    Field(
        gt=0,
        lt=1,
        description="Only with a folder that has no parts train and test: the fraction of each class's images that are "
        "test images, at least one of each class. They are chosen by the SHA-256 of their paths below the folder, so "
        "the same names are split alike everywhere. Default: 0.2.",
    ),
]
SkipDamaged = Annotated[
    bool,
    Field(
        description="Only with dataset `folder`: whether images that cannot be read are left out and counted in "
        "`provenance`. If train_size or test_size is given, other images take their turn. False: the experiment fails "
        "with a message that names them."
    ),
]
Background = Annotated[
    str,
    Field(
        pattern="^#[0-9a-fA-F]{6}$",
        json_schema_extra={FORMAT: 'a colour such as "#ff8800"'},
        description="Only with dataset `folder`: the colour that transparent pixels are laid on, as #rrggbb. The "
        "default is white.",
    ),
]
ImageSize = Annotated[
    int,
    Field(
        ge=1,
        le=1024,
        description="Height and width in pixels that images are resized to, bilinear and antialiased. Default: 96 for "
        "stl10, synthetic and folder; 32 for cifar10 and digits; 28 for fashion_mnist.",
    ),
]
TrainSize = Annotated[
    int | None, Field(ge=1, le=100_000_000, description=f"How many training images are used. {SUBSET}")
]
TestSize = Annotated[int | None, Field(ge=1, le=100_000_000, description=f"How many test images are used. {SUBSET}")]
