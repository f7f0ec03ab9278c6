"""A spec's network: the layers that its list may hold, and the study's own list."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Normalization = Literal[
    "none",
    "batch",
    "layer",
    "instance",
    "group",
    "rms",
    "filter_response",
    "range",
    "box_cox",
    "yeo_johnson",
    "dynamic_tanh",
    "weight_standardization",
]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]


class StrictModel(BaseModel):
    """Refuses unknown fields and numbers in quotes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _needs_its_kind(schema: dict[str, Any]) -> None:
    """A default fills the kind in for who writes Python; JSON must say it, for by it the layers are told apart."""
    schema["required"] = ["kind", *(name for name in schema.get("required", ()) if name != "kind")]


class _LayerSpec(StrictModel):
    model_config = ConfigDict(json_schema_extra=_needs_its_kind)

    input: int | None = Field(
        default=None,
        ge=-1,
        description="The layer whose output it takes, by its index in the list, from 0; -1: the images. Default: the "
        "layer before it.",
    )


# StopRequested apart by its type, so that what is wrong with a number is said of a number.
Padding = Annotated[
    Annotated[Literal["same"], Tag("word")] | Annotated[int, Field(ge=0, le=64), Tag("number")],
    Discriminator(lambda padding: "word" if isinstance(padding, str) else "number"),
]


class ConvolutionSpec(_LayerSpec):
    """A square convolution."""

    kind: Literal["convolution"] = "convolution"
    channels: int = Field(ge=1, le=4096, description="How many channels it makes.")
    kernel_size: int = Field(default=3, ge=1, le=31, description="Height and width of the kernel.")
    stride: int = Field(default=1, ge=1, le=32, description="Step between positions.")
    padding: Padding = Field(
        default="same", description='Zeros on all four sides, or "same": TensorFlow\'s rule, out = ceil(in / stride).'
    )
    groups: int = Field(default=1, ge=1, le=4096, description="Outputs of a group see inputs of that group alone.")
    bias: bool = Field(default=False, description="Whether a number a channel is learned and added.")


class LinearSpec(_LayerSpec):
    """A fully connected layer; images are flattened before it."""

    kind: Literal["linear"] = "linear"
    features: int = Field(ge=1, le=65_536, description="How many numbers it makes.")
    bias: bool = Field(default=True, description="Whether a number a feature is learned and added.")


class ActivationSpec(_LayerSpec):
    """`activation` is the experiment's, so that one list serves every one; or name it."""

    kind: Literal["activation", Activation] = "activation"


class NormalizationSpec(_LayerSpec):
    """The normalization under study."""

    kind: Literal["normalization"] = "normalization"
    variant: Normalization | None = Field(
        default=None, description="Default: the experiment's `normalization`, so that one list serves every variant."
    )


class PoolSpec(_LayerSpec):
    """The greatest value, or the mean, of windows."""

    kind: Literal["max_pool", "average_pool"]
    size: int = Field(default=2, ge=1, le=64, description="Height and width of a window.")
    stride: int = Field(default=2, ge=1, le=64, description="Step between windows.")


class GlobalAveragePoolSpec(_LayerSpec):
    """Mean over all positions: a number a channel."""

    kind: Literal["global_average_pool"] = "global_average_pool"


class DropoutSpec(_LayerSpec):
    """Sets a share of the values to 0 in training, other ones at every step, drawn from the experiment's seed."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(default=0.5, ge=0, lt=1, description="The share.")


class AddSpec(_LayerSpec):
    """Adds the output of an earlier layer to its input: where a residual block's shortcut ends."""

    kind: Literal["add"] = "add"
    shortcut: int = Field(ge=-1, description="That layer's index in the list, from 0; -1: the images.")


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
    """A layer that was accepted once, without the rules of today."""
    return _BY_KIND[fields["kind"]].model_construct(**fields)


@cache  # its layers are frozen, so all experiments may have the same ones
def study_network() -> tuple[LayerSpec, ...]:
    """The study's six blocks: 3→16→16→16→16→16→10 channels, strides 2 2 2 2 1 1, mean over the last map."""
    layers: list[LayerSpec] = []
    for channels, stride in zip((16, 16, 16, 16, 16), (2, 2, 2, 2, 1), strict=True):
        layers += [ConvolutionSpec(channels=channels, stride=stride), ActivationSpec(), NormalizationSpec()]
    return (*layers, ConvolutionSpec(channels=10), ActivationSpec(), GlobalAveragePoolSpec())
