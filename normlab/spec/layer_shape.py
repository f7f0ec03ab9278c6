"""A layer as it is built: its shapes, its parameters, and the layers that feed it."""

from typing import Literal

from normlab.spec.layers import Activation, Normalization, StrictModel

IMAGES = -1  # where a layer takes the batch itself

Kind = Literal[
    "convolution", "linear", Activation, "normalization", "affine", "thresholded_linear", "max_pool", "average_pool",
    "global_average_pool", "dropout", "add",
]  # fmt: skip
Shape = tuple[int, ...]


class LayerShape(StrictModel):
    """One layer with its shapes, C H W or D.

    layer: number of the convolution or linear layer it belongs to, from 1. inputs: the places, in the network, of the
    layers it takes the outputs of, -1 for the images. kernel_size: also a window's. standardized: whether a
    convolution's weights are. groups: of a convolution or a group normalization. rate: of dropout.
    """

    layer: int
    kind: Kind
    variant: Normalization | None = None
    inputs: tuple[int, ...]
    input_shape: Shape
    output_shape: Shape
    kernel_size: int | None = None
    stride: int | None = None
    padding: Literal["same"] | int | None = None
    groups: int | None = None
    bias: bool = False
    standardized: bool = False
    rate: float | None = None
    parameters: int = 0
