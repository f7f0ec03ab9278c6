"""The network of a spec: the layers that its list may hold, and the study's own list."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from normlab.spec.integers import IntegersAsInJSON
from normlab.spec.variants import Normalization
from normlab.spec.widths import CLASSES, CLASSES_TEXT, Channels, Features

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]

ACTIVATION_LIST = """
- `relu`: max(x, 0).
- `leaky_relu`: x, and 0.01·x below 0.
- `elu`: x, and exp(x) − 1 below 0.
- `gelu`: x·Φ(x) with the exact Φ of the normal distribution, not its tanh approximation (PyTorch's default too).
- `silu`: x·σ(x), also called swish.
- `tanh`: tanh(x)."""


class StrictModel(BaseModel):
    """A model that refuses unknown fields and numbers in quotes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _require_kind(schema: dict[str, Any]) -> None:
    """Mark `kind` as required in JSON, where it tells the layers apart. Python code gets it from the class."""
    schema["required"] = ["kind", *(name for name in schema.get("required", ()) if name != "kind")]


class _LayerSpec(StrictModel, IntegersAsInJSON):
    model_config = ConfigDict(json_schema_extra=_require_kind)

    input: int | None = Field(
        default=None,
        ge=-1,
        description="The layer whose output this layer takes, by its index in `network`, from 0. It must be an earlier "
        "one; -1 means the images. Default: the layer before.",
    )


# The type decides which of the two is validated, so that an error about a number speaks of numbers alone.
Padding = Annotated[
    Annotated[Literal["same"], Tag("word")] | Annotated[int, Field(ge=0, le=64), Tag("number")],
    Discriminator(lambda padding: "word" if isinstance(padding, str) else "number"),
]


class ConvolutionSpec(_LayerSpec):
    """A two-dimensional convolution with a square kernel. Its initial weights are normal with `init_std`."""

    kind: Literal["convolution"] = Field(default="convolution", description="The kind of the layer.")
    channels: Channels = Field(description=f"How many channels it outputs. {CLASSES_TEXT}")
    kernel_size: int = Field(default=3, ge=1, le=31, description="Height and width of the kernel, in pixels.")
    stride: int = Field(default=1, ge=1, le=32, description="Distance between neighbouring windows, in pixels.")
    padding: Padding = Field(
        default="same",
        description="How many rows and columns of zeros are put on each of the four sides, or `same`: TensorFlow's "
        "rule, by which the output has ceil(input / stride) rows and an odd row or column of zeros is put at the "
        "bottom or right. With stride 2 on an even size this differs from PyTorch's padding=1, which puts zeros on all "
        "sides.",
    )
    groups: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Number of groups of channels. The output channels of a group see only the input channels of the "
        "same group. It must divide both numbers of channels. 1: every output sees every input.",
    )
    bias: bool = Field(
        default=False,
        description="Whether one number per output channel is learned and added. It starts at 0 and does not decay. "
        "PyTorch's default is true.",
    )


class LinearSpec(_LayerSpec):
    """A fully connected layer. Its input is flattened. Its initial weights are normal with `init_std`."""

    kind: Literal["linear"] = Field(default="linear", description="The kind of the layer.")
    features: Features = Field(description=f"How many numbers it outputs. {CLASSES_TEXT}")
    bias: bool = Field(
        default=True,
        description="Whether one number per feature is learned and added. It starts at 0 and does not decay.",
    )


class ActivationSpec(_LayerSpec):
    """A nonlinear function, element by element."""

    kind: Literal["activation", Activation] = Field(
        default="activation",
        description="The function. `activation` is the one that the spec's field `activation` names, so that one list "
        f"of layers serves every activation. The others name it here:\n{ACTIVATION_LIST}",
    )


class NormalizationSpec(_LayerSpec):
    """The normalization under study. With variant `none` the layer is left out."""

    kind: Literal["normalization"] = Field(default="normalization", description="The kind of the layer.")
    variant: Normalization | None = Field(
        default=None,
        description="The variant of this layer alone; the spec's field `normalization` lists them. Default: that "
        "field's variant, so that one list of layers serves every variant.",
    )


class PoolSpec(_LayerSpec):
    """One number for each square window of each channel. Windows that do not fit whole are left out."""

    kind: Literal["max_pool", "average_pool"] = Field(
        description="The kind of the layer. `max_pool`: the greatest value of the window. `average_pool`: its mean."
    )
    size: int = Field(default=2, ge=1, le=64, description="Height and width of a window, in pixels.")
    stride: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Distance between neighbouring windows, in pixels. PyTorch's default is the window's size.",
    )


class GlobalAveragePoolSpec(_LayerSpec):
    """The mean of each channel over all its positions: one number per channel."""

    kind: Literal["global_average_pool"] = Field(default="global_average_pool", description="The kind of the layer.")


class DropoutSpec(_LayerSpec):
    """Sets a random fraction of the values to 0 in training and divides the others by 1 − rate.

    The choice differs at every step and follows from the experiment's seed. At test time nothing is changed.
    """

    kind: Literal["dropout"] = Field(default="dropout", description="The kind of the layer.")
    rate: float = Field(
        default=0.5, ge=0, lt=1, description="The probability that a value is set to 0, from 0 to below 1."
    )


class AddSpec(_LayerSpec):
    """The sum of its input and the output of an earlier layer: the end of a residual block's shortcut."""

    kind: Literal["add"] = Field(default="add", description="The kind of the layer.")
    shortcut: int = Field(
        ge=-1,
        description="The earlier layer, by its index in `network`, from 0; -1 means the images. Its output must have "
        "the shape of this layer's input.",
    )


AnyLayerSpec = (
    ConvolutionSpec
    | LinearSpec
    | ActivationSpec
    | NormalizationSpec
    | PoolSpec
    | GlobalAveragePoolSpec
    | DropoutSpec
    | AddSpec
)
LayerSpec = Annotated[AnyLayerSpec, Field(discriminator="kind")]
_BY_KIND: dict[str, type[AnyLayerSpec]] = {
    kind: layer for layer in get_args(AnyLayerSpec) for kind in get_args(layer.model_fields["kind"].annotation)
}


def stored_layer(fields: Mapping[str, Any]) -> AnyLayerSpec:
    """Return a stored layer without validating it, so that layers accepted by older releases still load."""
    return _BY_KIND[fields["kind"]].model_construct(**fields)


def with_classes(network: tuple[LayerSpec, ...], classes: int) -> tuple[LayerSpec, ...]:
    """Return the network with the number of classes in the place of `classes`. If nothing changes, it is the same."""
    resolved = tuple(_layer_with_classes(layer, classes) for layer in network)
    return network if resolved == network else resolved


def _layer_with_classes(layer: LayerSpec, classes: int) -> LayerSpec:
    match layer:
        case ConvolutionSpec(channels="classes"):
            return layer.model_copy(update={"channels": classes})
        case LinearSpec(features="classes"):
            return layer.model_copy(update={"features": classes})
        case _:
            return layer


@cache  # all experiments share its layers, because they are frozen
def study_network() -> tuple[LayerSpec, ...]:
    """Return the study's six blocks: 16 channels each and one per class in the last, strides 2 2 2 2 1 1, then means.

    Its last convolution has the channels `classes`.
    """
    layers: list[LayerSpec] = []
    for channels, stride in zip((16, 16, 16, 16, 16), (2, 2, 2, 2, 1), strict=True):
        layers += [ConvolutionSpec(channels=channels, stride=stride), ActivationSpec(), NormalizationSpec()]
    return (*layers, ConvolutionSpec(channels=CLASSES), ActivationSpec(), GlobalAveragePoolSpec())
