"""A spec's network: its list of layers, and what comes of it once the images' size is known.

Resolving is pure arithmetic on shapes, so the service can refuse what does not fit before anything is queued.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
Kind = Literal["convolution", Activation, "normalization", "affine", "threshold", "mean_pool"]


class _Layer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ConvolutionSpec(_Layer):
    """A square convolution without bias."""

    kind: Literal["convolution"] = "convolution"
    channels: int = Field(ge=1, le=4096, description="How many channels it makes.")
    kernel_size: int = Field(default=3, ge=1, le=31, description="Height and width of the kernel.")
    stride: int = Field(default=1, ge=1, le=32, description="Step between positions.")
    padding: Literal["same"] | Annotated[int, Field(ge=0, le=64)] = Field(
        default="same", description='Zeros on all four sides, or "same": TensorFlow\'s rule, out = ceil(in / stride).'
    )


class ActivationSpec(_Layer):
    """`activation` is the experiment's, so that one list serves every one; or name it."""

    kind: Literal["activation", Activation] = "activation"


class NormalizationSpec(_Layer):
    """The normalization under study."""

    kind: Literal["normalization"] = "normalization"
    variant: Normalization | None = Field(
        default=None, description="Default: the experiment's `normalization`, so that one list serves every variant."
    )


class MeanPoolSpec(_Layer):
    """Mean over all positions: the scores of the classes. The last layer, and only that."""

    kind: Literal["mean_pool"] = "mean_pool"


LayerSpec = Annotated[ConvolutionSpec | ActivationSpec | NormalizationSpec | MeanPoolSpec, Field(discriminator="kind")]


def study_network() -> tuple[LayerSpec, ...]:
    """The study's six blocks: 3→16→16→16→16→16→10 channels, strides 2 2 2 2 1 1, mean over the last map."""
    layers: list[LayerSpec] = []
    for channels, stride in zip((16, 16, 16, 16, 16), (2, 2, 2, 2, 1), strict=True):
        layers += [ConvolutionSpec(channels=channels, stride=stride), ActivationSpec(), NormalizationSpec()]
    return (*layers, ConvolutionSpec(channels=10), ActivationSpec(), MeanPoolSpec())


class ResolvedLayer(_Layer):
    """One layer with its shapes, C H W. layer: the number of the convolution it belongs to, from 1.

    standardized: whether a convolution's weights are. groups: of group normalization.
    """

    layer: int
    kind: Kind
    variant: Normalization | None = None
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    kernel_size: int | None = None
    stride: int | None = None
    padding: Literal["same"] | int | None = None
    standardized: bool = False
    groups: int | None = None
    parameters: int = 0


def resolve(
    layers: tuple[LayerSpec, ...],
    *,
    image_size: int,
    classes: int | None,
    normalization: Normalization,
    activation: Activation = "relu",
    affine: bool = False,
    groups: int = 4,
) -> tuple[ResolvedLayer, ...]:
    """Every layer with its shapes; a normalization becomes the layers it is made of.

    Raises: ValueError naming the layer's index where one does not fit.
    """
    shape: tuple[int, ...] = (3, image_size, image_size)
    resolved: list[ResolvedLayer] = []
    number = 0
    normalized: set[int] = set()
    for index, layer in enumerate(layers):
        if len(shape) != 3:
            raise ValueError(f"layer {index} ({layer.kind}) comes after mean_pool, which must be the last layer")
        before = shape
        match layer:
            case ConvolutionSpec():
                number += 1
                shape = (layer.channels, *(_convolved(index, size, before, layer) for size in before[1:]))
                resolved.append(
                    ResolvedLayer(
                        layer=number,
                        kind="convolution",
                        input_shape=before,
                        output_shape=shape,
                        kernel_size=layer.kernel_size,
                        stride=layer.stride,
                        padding=layer.padding,
                        parameters=layer.channels * before[0] * layer.kernel_size**2,
                    )
                )
            case NormalizationSpec():
                if number in normalized:
                    raise ValueError(f"layer {index}: convolution {number} is already followed by a normalization")
                normalized.add(number)
                variant = layer.variant or normalization
                if variant == "box_cox" and (not resolved or resolved[-1].kind != "relu"):
                    raise ValueError(
                        f"layer {index}: Box-Cox has no value for negative numbers, so it must follow a relu; "
                        "yeo_johnson takes any"
                    )
                if variant == "weight_standardization":
                    _standardize_the_convolution_before(index, resolved)
                else:
                    resolved += _normalized(index, number, variant, before, affine=affine, groups=groups)
            case ActivationSpec():
                kind = activation if layer.kind == "activation" else layer.kind
                resolved.append(ResolvedLayer(layer=number, kind=kind, input_shape=before, output_shape=before))
            case MeanPoolSpec():
                shape = (before[0],)
                resolved.append(ResolvedLayer(layer=number, kind="mean_pool", input_shape=before, output_shape=shape))
    if number == 0:
        raise ValueError("a network needs at least one convolution; there is nothing to train in this one")
    if len(shape) != 1:
        raise ValueError(f"the last layer must be mean_pool, which makes the classes' scores; it is {layers[-1].kind}")
    if classes is not None and shape[0] != classes:
        raise ValueError(f"the network ends in {shape[0]} scores, the data set has {classes} classes")
    return tuple(resolved)


def _normalized(
    index: int, number: int, variant: Normalization, shape: tuple[int, ...], *, affine: bool, groups: int
) -> list[ResolvedLayer]:
    """The layers that a normalization is made of; "none" is made of nothing."""
    if variant == "none":
        return []
    channels = shape[0]
    if variant == "group" and channels % groups:
        raise ValueError(
            f"layer {index}: the {channels} channels of its input do not divide into {groups} groups; "
            "set group_count to a number that divides them"
        )
    learned: dict[Normalization, int] = {"box_cox": 1, "yeo_johnson": channels, "dynamic_tanh": 1}
    made: list[tuple[Kind, int]] = [("normalization", learned.get(variant, 0))]
    if affine:
        made.append(("affine", 2 * channels))
    if variant == "filter_response":
        made.append(("threshold", channels))
    return [
        ResolvedLayer(
            layer=number,
            kind=kind,
            variant=variant,
            input_shape=shape,
            output_shape=shape,
            groups=groups if variant == "group" and kind == "normalization" else None,
            parameters=parameters,
        )
        for kind, parameters in made
    ]


def _standardize_the_convolution_before(index: int, resolved: list[ResolvedLayer]) -> None:
    place = max((place for place, made in enumerate(resolved) if made.kind == "convolution"), default=None)
    if place is None:
        raise ValueError(f"layer {index}: there is no convolution before it whose weights could be standardized")
    resolved[place] = resolved[place].model_copy(update={"standardized": True})


def _convolved(index: int, size: int, shape: tuple[int, ...], layer: ConvolutionSpec) -> int:
    """The length of an axis after a convolution."""
    if layer.padding == "same":
        return -(-size // layer.stride)
    padded = size + 2 * layer.padding
    if padded < layer.kernel_size:
        seen = "×".join(map(str, shape))
        raise ValueError(
            f"layer {index}: a {layer.kernel_size}×{layer.kernel_size} kernel with padding {layer.padding} does not "
            f'fit its input of shape {seen}; use a larger image_size, a smaller stride before it or padding "same"'
        )
    return (padded - layer.kernel_size) // layer.stride + 1
