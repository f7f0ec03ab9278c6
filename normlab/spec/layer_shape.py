"""A layer with its shapes, its parameters, and the layers that feed it."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from normlab.spec.layers import Activation, StrictModel
from normlab.spec.variants import Normalization
from normlab.spec.widths import CLASSES, Width

IMAGES = -1  # the index that stands for the images in a layer's inputs

Kind = Literal[
    "convolution", "linear", Activation, "normalization", "affine", "thresholded_linear", "max_pool", "average_pool",
    "global_average_pool", "dropout", "add",
]  # fmt: skip
UNKNOWN = 0  # in a shape: the number of classes, before the folder is read. No layer has the size 0.
Size = Annotated[int, PlainSerializer(lambda size: CLASSES if size == UNKNOWN else size, return_type=Width)]
Shape = tuple[Size, ...]


class LayerShape(StrictModel):
    """One layer of the network as it is built. Shapes are C H W, or D for the numbers of a vector, without the "
    "batch.
    """

    layer: int = Field(
        description="The number, from 1, of the convolution or linear layer that this layer belongs to: itself, or the "
        "last one before it. 0: there is none before it. Records and figures number layers by it."
    )
    kind: Kind = Field(
        description="What the layer computes. `affine` is the learned scale and shift after a normalization; "
        "`thresholded_linear` is max(x, τ) with a learned τ per channel, which follows filter response normalization."
    )
    variant: Normalization | None = Field(
        default=None, description="Of a normalization and the layers that belong to it: which variant it is."
    )
    inputs: tuple[int, ...] = Field(
        description="The layers whose outputs it takes, by their indices in this list, from 0; -1: the images. These "
        "are not indices in the spec's `network`: a normalization there may become no layer here, or several."
    )
    input_shape: Shape = Field(
        description="The shape of its first input, without the batch: C H W, or D. `classes` stands for the number of "
        "classes of a folder that no worker has read yet."
    )
    output_shape: Shape = Field(
        description="The shape of its output, without the batch: C H W, or D. `classes` stands for the number of "
        "classes of a folder that no worker has read yet."
    )
    kernel_size: int | None = Field(
        default=None, description="Of a convolution or a pool: height and width of the kernel or window, in pixels."
    )
    stride: int | None = Field(
        default=None, description="Of a convolution or a pool: distance between neighbouring windows, in pixels."
    )
    padding: Literal["same"] | int | None = Field(
        default=None, description="Of a convolution: zeros on each side, or TensorFlow's rule `same`."
    )
    groups: int | None = Field(
        default=None, description="Of a convolution or a group normalization: number of groups of channels."
    )
    bias: bool = Field(default=False, description="Whether a convolution or linear layer learns a bias.")
    standardized: bool = Field(default=False, description="Whether a convolution's filters are standardized.")
    rate: float | None = Field(default=None, description="Of dropout: the probability that a value is set to 0.")
    parameters: int | None = Field(
        default=0,
        description="How many numbers the layer learns; null if that depends on the number of classes of a folder that "
        "no worker has read yet.",
    )


def size_of(width: Width) -> int:
    """Return the size that a layer of this width gives to a shape."""
    return UNKNOWN if width == CLASSES else width


def known(parameters: int, *sizes: int) -> int | None:
    """Return a number of parameters that depends on these sizes, or None if one of them is not known yet."""
    return None if UNKNOWN in sizes else parameters


def total_parameters(layers: Sequence[LayerShape]) -> int | None:
    """Return how many numbers a network learns, or None if one of its layers has an unknown number."""
    numbers = [layer.parameters for layer in layers]
    return None if None in numbers else sum(number or 0 for number in numbers)
