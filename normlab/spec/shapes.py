"""What comes of a network's list once the images' size is known: every layer with its shapes and parameters.

Pure arithmetic, so that the service refuses what does not fit before anything is queued.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

from normlab.spec.layer_shape import IMAGES, Kind, LayerShape, Shape
from normlab.spec.layers import (
    Activation,
    ActivationSpec,
    AddSpec,
    ConvolutionSpec,
    DropoutSpec,
    GlobalAveragePoolSpec,
    LayerSpec,
    LinearSpec,
    Normalization,
    NormalizationSpec,
    PoolSpec,
)


@dataclass(frozen=True)
class Defaults:
    """What the experiment says for every layer that does not say it itself. groups: of group normalization."""

    normalization: Normalization = "none"
    activation: Activation = "relu"
    affine: bool = False
    groups: int = 4


@lru_cache(maxsize=256)  # a study's experiments have one network, which is asked for at every answer
def layer_shapes(
    layers: tuple[LayerSpec, ...], *, image_size: int, classes: int | None, defaults: Defaults
) -> tuple[LayerShape, ...]:
    """Every layer with its shapes; a normalization becomes the layers it is made of.

    Raises: ValueError naming the layer's index where one does not fit.
    """
    resolving = _Shapes((3, image_size, image_size), defaults)
    for index, layer in enumerate(layers):
        resolving.add(index, layer)
    if resolving.number == 0:
        raise ValueError("a network needs at least one convolution or linear layer; there is nothing to train in this")
    resolving.check_that_all_is_taken()
    scores = resolving.shape_of(len(layers) - 1)
    if len(scores) != 1:
        raise ValueError(
            "the last layer must output one logit per class, as global_average_pool or linear does; "
            f"{layers[-1].kind} outputs {_words(scores)}"
        )
    if classes is not None and scores[0] != classes:
        raise ValueError(f"the network ends in {scores[0]} scores, the data set has {classes} classes")
    return tuple(resolving.resolved)


@dataclass
class _Shapes:
    """As far as it has come. number: of the last weighted layer; places: in resolved, of what each spec's layer made.

    source: the place, in resolved, of what the layer at hand takes.
    """

    images: Shape
    defaults: Defaults
    number: int = 0
    resolved: list[LayerShape] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    source: int = IMAGES
    normalized: set[int] = field(default_factory=set)

    def add(self, index: int, layer: LayerSpec) -> None:
        self.source = self._place(index, index - 1 if layer.input is None else layer.input)
        flat = LinearSpec | ActivationSpec | DropoutSpec | AddSpec
        if len(self.shape) != 3 and not isinstance(layer, flat):
            raise ValueError(f"layer {index} ({layer.kind}) needs images; its input is {self.shape[0]} numbers")
        match layer:
            case ConvolutionSpec():
                self._convolution(index, layer)
            case LinearSpec():
                self.number += 1
                inputs = math.prod(self.shape)
                parameters = inputs * layer.features + layer.bias * layer.features
                self._append("linear", (layer.features,), layer=self.number, bias=layer.bias, parameters=parameters)
            case ActivationSpec():
                self._append(self.defaults.activation if layer.kind == "activation" else layer.kind, self.shape)
            case NormalizationSpec():
                self._normalization(index, layer.variant or self.defaults.normalization)
            case PoolSpec():
                sizes = (_windows(index, size, layer.size, layer.stride, 0, self.shape) for size in self.shape[1:])
                shape = (self.shape[0], *sizes)
                self._append(layer.kind, shape, kernel_size=layer.size, stride=layer.stride)
            case GlobalAveragePoolSpec():
                self._append("global_average_pool", self.shape[:1])
            case DropoutSpec():
                self._append("dropout", self.shape, rate=layer.rate)
            case AddSpec():
                self._sum(index, layer)
        self.places.append(self.source)

    def check_that_all_is_taken(self) -> None:
        taken = {place for made in self.resolved for place in made.inputs} | {self.places[-1]}
        for index, place in enumerate(self.places):
            if place != IMAGES and place not in taken:
                raise ValueError(f"nothing takes the output of layer {index}; name it as an input or leave it out")

    @property
    def shape(self) -> Shape:
        """Of what the layer at hand takes."""
        return self._shape_at(self.source)

    def shape_of(self, index: int) -> Shape:
        """Of the output of a layer of the spec."""
        return self._shape_at(self.places[index])

    def _shape_at(self, place: int) -> Shape:
        return self.images if place == IMAGES else self.resolved[place].output_shape

    def _place(self, index: int, named: int) -> int:
        if named >= index:
            raise ValueError(f"layer {index} can only take the output of a layer before it, not of layer {named}")
        return IMAGES if named == IMAGES else self.places[named]

    def _convolution(self, index: int, layer: ConvolutionSpec) -> None:
        channels = self.shape[0]
        if channels % layer.groups or layer.channels % layer.groups:
            raise ValueError(
                f"layer {index}: {layer.groups} groups divide neither or only one of its {channels} input and "
                f"{layer.channels} output channels; they must divide both"
            )
        self.number += 1
        shape = (layer.channels, *(_convolved(index, size, self.shape, layer) for size in self.shape[1:]))
        weights = layer.channels * (channels // layer.groups) * layer.kernel_size**2
        self._append(
            "convolution", shape, layer=self.number, kernel_size=layer.kernel_size, stride=layer.stride,
            padding=layer.padding, groups=layer.groups, bias=layer.bias,
            parameters=weights + layer.bias * layer.channels,
        )  # fmt: skip

    def _normalization(self, index: int, variant: Normalization) -> None:
        number = self._number()
        if number in self.normalized:
            raise ValueError(f"layer {index}: convolution {number} is already followed by a normalization")
        self.normalized.add(number)
        channels, groups = self.shape[0], self.defaults.groups
        if variant == "none":
            return
        if variant == "weight_standardization":
            self._standardize_the_convolution_before(index)
            return
        if variant == "box_cox" and (self.source == IMAGES or self.resolved[self.source].kind != "relu"):
            raise ValueError(
                f"layer {index}: Box-Cox has no value for negative numbers, so it must follow a relu; "
                "yeo_johnson takes any"
            )
        if variant == "group" and channels % groups:
            raise ValueError(
                f"layer {index}: the {channels} channels of its input do not divide into {groups} groups; "
                "set group_count to a number that divides them"
            )
        learned: dict[Normalization, int] = {"box_cox": 1, "yeo_johnson": channels, "dynamic_tanh": 1}
        self._append(
            "normalization", self.shape, variant=variant, groups=groups if variant == "group" else None,
            parameters=learned.get(variant, 0),
        )  # fmt: skip
        if self.defaults.affine:
            self._append("affine", self.shape, variant=variant, parameters=2 * channels)
        if variant == "filter_response":
            self._append("thresholded_linear", self.shape, variant=variant, parameters=channels)

    def _standardize_the_convolution_before(self, index: int) -> None:
        place = self.source
        while place != IMAGES and self.resolved[place].kind != "convolution":
            place = self.resolved[place].inputs[0]
        if place == IMAGES:
            raise ValueError(f"layer {index}: there is no convolution before it whose weights could be standardized")
        self.resolved[place] = self.resolved[place].model_copy(update={"standardized": True})

    def _sum(self, index: int, layer: AddSpec) -> None:
        shortcut = self._place(index, layer.shortcut)
        if self._shape_at(shortcut) != self.shape:
            raise ValueError(
                f"layer {index}: a sum needs two inputs of one shape; its input is {_words(self.shape)}, its shortcut, "
                f"layer {layer.shortcut}, {_words(self._shape_at(shortcut))}"
            )
        self._append("add", self.shape, inputs=(self.source, shortcut))

    def _number(self) -> int:
        """Of the weighted layer that what the layer at hand takes comes from."""
        return 0 if self.source == IMAGES else self.resolved[self.source].layer

    def _append(self, kind: Kind, output_shape: Shape, **details: object) -> None:
        made = {
            "layer": self._number(), "kind": kind, "inputs": (self.source,), "input_shape": self.shape,
            "output_shape": output_shape,
        }  # fmt: skip
        self.resolved.append(LayerShape.model_validate(made | details))
        self.source = len(self.resolved) - 1


def _convolved(index: int, size: int, shape: Shape, layer: ConvolutionSpec) -> int:
    """The length of an axis after a convolution."""
    if layer.padding == "same":
        return -(-size // layer.stride)
    return _windows(index, size, layer.kernel_size, layer.stride, layer.padding, shape)


def _windows(index: int, size: int, window: int, stride: int, padding: int, shape: Shape) -> int:
    """How many windows an axis has room for."""
    padded = size + 2 * padding
    if padded < window:
        raise ValueError(
            f"layer {index}: a {window}×{window} window with padding {padding} does not fit its input of shape "
            f'{_words(shape)}; use a larger image_size, a smaller stride before it or padding "same"'
        )
    return (padded - window) // stride + 1


def _words(shape: Shape) -> str:
    return "×".join(map(str, shape))
