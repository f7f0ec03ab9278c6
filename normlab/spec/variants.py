"""The registry of variants: one row for each normalization. The spec, its shapes, the figures and `/docs` read it.

A new normalization is a name and a row here, a layer in normcore/layers, and a case in
worker/training/build_network.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Normalization = Literal[  # the names of the rows, in their order: a type checker cannot read them from the rows
    "none",
    "batch",
    "layer",
    "instance",
    "box_cox",
    "group",
    "rms",
    "filter_response",
    "range",
    "yeo_johnson",
    "dynamic_tanh",
    "weight_standardization",
]


# An axis of the statistics: `group` stands for the channels of one group.
Axis = Literal["images", "channels", "group", "positions"]


@dataclass(frozen=True)
class NormalizationInput:
    """The facts about a normalization's input that a variant may depend on.

    produced_by: the kind of the layer that outputs it; None: the images. after_convolution: whether a convolution is
    on the way from the images to it.
    """

    channels: int
    produced_by: str | None
    after_convolution: bool
    group_count: int


def _nothing(given: NormalizationInput) -> str | None:
    return None


def _relu(given: NormalizationInput) -> str | None:
    if given.produced_by == "relu":
        return None
    return (
        f"box_cox must follow a relu, because it has no value for negative numbers; its input comes from "
        f"{given.produced_by or 'the images'}; put a relu before it, or use yeo_johnson, which takes any number"
    )


def _divisible_channels(given: NormalizationInput) -> str | None:
    if given.channels % given.group_count == 0:
        return None
    return (
        f"group_count={given.group_count} must divide the {given.channels} channels of the input; "
        f"set group_count to a divisor of {given.channels}"
    )


def _convolution(given: NormalizationInput) -> str | None:
    if given.after_convolution:
        return None
    return "weight_standardization needs a convolution before it, and there is none; put one before it"


@dataclass(frozen=True)
class Variant:
    """One normalization.

    title: its name in figures. colour: of its curves, as #rrggbb. description: what it computes, for `/docs`.
    normalizes: what it changes. "activations": it is a layer; "weights": it is a property of the convolution before it;
    "nothing": it is left out of the network. learned_per_layer, learned_per_channel: how many parameters it learns.
    thresholded: whether a thresholded linear unit follows it. statistics_over: the values that one of its statistics is
    of; empty: it has none. subtracts: whether it subtracts a statistic, so that nothing is left of a single value.
    options: the fields of the spec that it reads.
    requires: returns None if it can take an input, else a message with what it expects, what it got and what to try.
    """

    name: Normalization
    title: str
    colour: str
    description: str
    normalizes: Literal["activations", "weights", "nothing"] = "activations"
    learned_per_layer: int = 0
    learned_per_channel: int = 0
    thresholded: bool = False
    statistics_over: tuple[Axis, ...] = ()
    subtracts: bool = True
    options: tuple[str, ...] = ()
    requires: Callable[[NormalizationInput], str | None] = _nothing

    def parameters(self, channels: int) -> int:
        """Return how many parameters it learns where its input has this many channels."""
        return self.learned_per_layer + self.learned_per_channel * channels


# The colours of the first five are the article's. The others are of the palettes of Okabe and Ito and of Tol, chosen
# to differ from the first five.
VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(
            "none", "none", "#1f77b4",
            "No normalization. The layer is left out of the network.",
            normalizes="nothing",
        ),
        Variant(
            "batch", "batch", "#ff7f0e",
            "(x − mean) / √(variance + norm_eps). Each channel has its own mean and variance, over the images and "
            "positions of the batch. At test time running averages of both are used.",
            statistics_over=("images", "positions"),
            options=("norm_eps", "norm_momentum", "running_var_start"),
        ),
        Variant(
            "layer", "layer", "#2ca02c",
            "(x − mean) / √(variance + norm_eps). Each image has its own mean and variance, over its channels and "
            "positions. test_statistics says which are used at test time.",
            statistics_over=("channels", "positions"),
            options=("norm_eps", "test_statistics", "norm_momentum", "running_var_start"),
        ),
        Variant(
            "instance", "instance", "#d62728",
            "(x − mean) / √(variance + norm_eps). Each channel of each image has its own mean and variance, over its "
            "positions. test_statistics says which are used at test time.",
            statistics_over=("positions",),
            options=("norm_eps", "test_statistics", "norm_momentum", "running_var_start"),
        ),
        Variant(
            "box_cox", "Box-Cox", "#9467bd",
            "((1 + x)^λ − 1) / λ, element by element, with one learned λ per layer. It must follow a relu.",
            learned_per_layer=1,
            options=("box_cox_lambda", "lambda_gradient", "box_cox_denominator_eps"),
            requires=_relu,
        ),
        Variant(
            "group", "group", "#56b4e9",
            "(x − mean) / √(variance + norm_eps). Each group of channels of each image has its own mean and variance, "
            "over its positions, at test time too. group_count must divide the number of channels.",
            statistics_over=("group", "positions"),
            options=("norm_eps", "group_count"),
            requires=_divisible_channels,
        ),
        Variant(
            "rms", "RMS", "#cc79a7",
            "x / √(mean(x²) + norm_eps). The mean is over the channels and positions of each image, at test time too.",
            statistics_over=("channels", "positions"),
            subtracts=False,
            options=("norm_eps",),
        ),
        Variant(
            "filter_response", "filter response", "#009e73",
            "x / √(mean(x²) + norm_eps). The mean is over the positions of each channel of each image, at test time "
            "too. A thresholded linear unit max(x, τ) with one learned τ per channel follows it.",
            thresholded=True,
            statistics_over=("positions",),
            subtracts=False,
            options=("norm_eps",),
        ),
        Variant(
            "range", "range", "#000000",
            "(x − min) / (max − min + norm_eps). Each channel has its own extremes, over the images and positions of "
            "the batch. At test time running averages of both are used.",
            statistics_over=("images", "positions"),
            options=("norm_eps", "norm_momentum", "running_var_start"),
        ),
        Variant(
            "yeo_johnson", "Yeo-Johnson", "#882255",
            "Box-Cox's transform, continued to negative numbers, with one learned λ per channel.",
            learned_per_channel=1,
            options=("yeo_johnson_lambda",),
        ),
        Variant(
            "dynamic_tanh", "dynamic tanh", "#999933",
            "tanh(α · x), with one learned α per layer. It uses no statistics.",
            learned_per_layer=1,
            options=("dynamic_tanh_alpha",),
        ),
        Variant(
            "weight_standardization", "weight standardization", "#8c564b",
            "Each filter of the convolution before it is standardized, (w − mean) / √(variance + norm_eps) over its "
            "own weights. The activations are left as they are.",
            normalizes="weights",
            options=("norm_eps",),
            requires=_convolution,
        ),
    )
}  # fmt: skip


def variant_list() -> str:
    """Return the variants as a Markdown list, each with its description."""
    return "\n".join(f"- `{variant.name}`: {variant.description}" for variant in VARIANTS.values())


def variants_that_read(option: str) -> str:
    """Return the names of the variants that read a field of the spec, for its description."""
    return ", ".join(f"`{variant.name}`" for variant in VARIANTS.values() if option in variant.options)
