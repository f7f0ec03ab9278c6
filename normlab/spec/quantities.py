"""The quantities that are captured in a layer: their names, their exact meaning, and their titles in figures."""

from dataclasses import dataclass
from typing import Literal

QuantityName = Literal[
    "weight_gradient",
    "input_gradient",
    "weight",
    "weight_minus_gradient",
    "update",
    "norm_output_gradient",
    "norm_input_gradient",
]


@dataclass(frozen=True)
class Quantity:
    """One quantity.

    title: its name in figures. symbol: its formula, as mathtext of matplotlib. layers: 'convolution', which includes
    linear layers, or 'normalization'.
    """

    name: QuantityName
    title: str
    symbol: str
    meaning: str
    layers: str


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity(
            "weight_gradient",
            "Gradient of the weights",
            r"$\partial L/\partial W$",
            "gradient of the loss with respect to the weights of the convolution or linear layer",
            "convolution",
        ),
        Quantity(
            "input_gradient",
            "Gradient passed to the previous layer",
            r"$\partial L/\partial x$",
            "gradient of the loss with respect to the layer's input (for layer 1: the images)",
            "convolution",
        ),
        Quantity(
            "weight",
            "Weights",
            r"$W$",
            "the layer's weights, at which the gradient is taken",
            "convolution",
        ),
        Quantity(
            "weight_minus_gradient",
            "Weights minus their gradient",
            r"$W-\partial L/\partial W$",
            "the weights minus their gradient",
            "convolution",
        ),
        Quantity(
            "update",
            "Update of the weights",
            r"$\Delta W$",
            "what the optimizer adds to the weights: the weights after its step minus those before",
            "convolution",
        ),
        Quantity(
            "norm_output_gradient",
            "Gradient arriving at the normalization",
            r"$\partial L/\partial \hat{x}$",
            "gradient of the loss with respect to the normalization's output, before its backward pass",
            "normalization",
        ),
        Quantity(
            "norm_input_gradient",
            "Gradient leaving the normalization",
            r"$\partial L/\partial x_{\mathrm{norm}}$",
            "gradient of the loss with respect to the normalization's input, after its backward pass",
            "normalization",
        ),
    )
}

ARTICLE_QUANTITIES = ("weight_gradient", "input_gradient", "weight", "weight_minus_gradient")
