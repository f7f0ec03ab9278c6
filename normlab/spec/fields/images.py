"""The fields that choose the images."""

from typing import Annotated

from pydantic import Field

from normlab.spec.datasets import DatasetName
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
Folder = Annotated[
    Text | None,
    Field(
        description="Only with dataset `folder`, and required there: the folder's path, relative to the worker's data "
        "directory, in torchvision's ImageFolder layout: train/CLASS/IMAGE and test/CLASS/IMAGE. The shorter side of "
        "each image is resized to image_size and the middle square is taken."
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
