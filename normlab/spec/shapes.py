"""The shapes of a network: its list of layers becomes the layers as they are built, each with shapes and parameters.

Pure arithmetic, so that the service refuses a network that does not fit before its experiment is queued.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

from normlab.spec.layer_shape import IMAGES, Kind, LayerShape, Shape, known, size_of
from normlab.spec.layers import (
    Activation,
    ActivationSpec,
    AddSpec,
    ConvolutionSpec,
    DropoutSpec,
    GlobalAveragePoolSpec,
    LayerSpec,
    LinearSpec,
    NormalizationSpec,
    PoolSpec,
    with_classes,
)
from normlab.spec.network_faults import Fault, NetworkFaults
from normlab.spec.variants import VARIANTS, Normalization, NormalizationInput, Variant
from normlab.spec.windows import convolved, pooled, shape_text

KEEPS_SHAPE = NormalizationSpec | ActivationSpec | DropoutSpec | AddSpec
ANY_DIMENSIONS = LinearSpec | ActivationSpec | DropoutSpec | AddSpec  # the others need images, C H W


@dataclass(frozen=True)
class Defaults:
    """The spec's defaults for layers without a value of their own."""

    normalization: Normalization = "none"
    activation: Activation = "relu"
    affine: bool = False
    group_count: int = 4


@lru_cache(maxsize=256)  # the experiments of a study share a network, and every response holds its shapes
def layer_shapes(
    network: tuple[LayerSpec, ...], *, image_size: int, classes: int | None, defaults: Defaults
) -> tuple[LayerShape, ...]:
    """Return every layer with its shapes. A normalization becomes the layers that it consists of.

    classes: None if they are not known yet. A layer whose width is `classes` then has the size UNKNOWN.

    Raises: ValueError naming the layer by its index, such as network[2], if a layer does not fit or is not used, or if
    the network does not end in one logit per class.
    """
    if classes is not None:
        network = with_classes(network, classes)
    shapes = _Shapes((3, image_size, image_size), defaults)
    faults: list[Fault] = []
    for index, layer in enumerate(network):
        try:
            shapes.append_layer(layer)
        except ValueError as error:
            faults.append((index, str(error)))
            if not isinstance(layer, KEEPS_SHAPE):  # the inputs of the layers after it are not known
                raise NetworkFaults(faults) from None
            shapes.outputs.append(shapes.source)
    if not faults:
        faults = _faults_of_the_whole(shapes, network[-1].kind, classes)
    if faults:
        raise NetworkFaults(faults)
    return tuple(shapes.layers)


def _faults_of_the_whole(shapes: "_Shapes", last: str, classes: int | None) -> list[Fault]:
    if shapes.weighted_layers == 0:
        return [(None, "a network needs at least one convolution or linear layer; without one nothing is trained")]
    faults = _unused_outputs(shapes)
    try:
        _check_logits(shapes.shape_at(shapes.outputs[-1]), last, classes)
    except ValueError as error:
        faults.append((None, str(error)))
    return faults


def _unused_outputs(shapes: "_Shapes") -> list[Fault]:
    used = {index for layer in shapes.layers for index in layer.inputs} | {shapes.outputs[-1]}
    return [
        (
            index,
            f"no layer takes its output; name {index} as the input or shortcut of a later layer, or leave it out",
        )
        for index, output in enumerate(shapes.outputs)
        if output != IMAGES and output not in used
    ]


def _check_logits(logits: Shape, kind: str, classes: int | None) -> None:
    if len(logits) != 1:
        raise ValueError(
            f"the last layer must output one logit per class; {kind} outputs {shape_text(logits)}; "
            "end the network with global_average_pool or linear"
        )
    if classes is not None and logits[0] != classes:
        raise ValueError(
            f"the network ends in {logits[0]} logits, the data set has {classes} classes; "
            f"let the last layer output {classes}"
        )


@dataclass
class _Shapes:
    """The layers up to the current one, while a network is read from its first layer to its last.

    layers: as they are built. outputs: for each layer of the network, the index in `layers` of the layer that outputs
    its result. source: the index in `layers` of the layer whose output the current layer takes. weighted_layers: how
    many convolutions and linear layers there are. normalized: the numbers of those that a normalization follows.
    """

    images: Shape
    defaults: Defaults
    layers: list[LayerShape] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    source: int = IMAGES
    weighted_layers: int = 0
    normalized: set[int] = field(default_factory=set)

    def append_layer(self, layer: LayerSpec) -> None:
        """Append the next layer of the network. Raises ValueError if it does not fit its input."""
        previous = len(self.outputs) - 1
        self.source = self._output_of(previous if layer.input is None else layer.input, "input")
        if len(self.shape) != 3 and not isinstance(layer, ANY_DIMENSIONS):
            raise ValueError(
                f"{layer.kind} needs an input of shape C×H×W; its input has shape {self.shape[0]}; put it before the "
                "first linear or global_average_pool"
            )
        self._append_kind(layer)
        self.outputs.append(self.source)

    @property
    def shape(self) -> Shape:
        """The shape of the current layer's input."""
        return self.shape_at(self.source)

    def shape_at(self, index: int) -> Shape:
        """Return the shape of the output of a layer in `layers`, or of the images."""
        return self.images if index == IMAGES else self.layers[index].output_shape

    def _output_of(self, index: int, field_name: str) -> int:
        """Return the index in `layers` of the output of a layer of the network."""
        if index >= len(self.outputs):
            raise ValueError(
                f"{field_name}={index} must be below {len(self.outputs)}: a layer can only take the output of an "
                "earlier layer, or of the images, which are -1"
            )
        return IMAGES if index == IMAGES else self.outputs[index]

    def _append_kind(self, layer: LayerSpec) -> None:
        match layer:
            case ConvolutionSpec():
                self._append_convolution(layer)
            case LinearSpec():
                self._append_linear(layer)
            case ActivationSpec():
                self._append(self.defaults.activation if layer.kind == "activation" else layer.kind, self.shape)
            case NormalizationSpec():
                self._append_normalization(VARIANTS[layer.variant or self.defaults.normalization])
            case PoolSpec():
                self._append_pool(layer)
            case GlobalAveragePoolSpec():
                self._append("global_average_pool", self.shape[:1])
            case DropoutSpec():
                self._append("dropout", self.shape, rate=layer.rate)
            case AddSpec():
                self._append_add(layer)

    def _append_convolution(self, layer: ConvolutionSpec) -> None:
        inputs, outputs = self.shape[0], size_of(layer.channels)
        if inputs % layer.groups or outputs % layer.groups:
            raise ValueError(
                f"groups={layer.groups} must divide both {inputs} input and {outputs} output channels; "
                f"the largest number that does is {math.gcd(inputs, outputs)}"
            )
        self.weighted_layers += 1
        height, width = convolved(layer, self.shape)
        weights = outputs * (inputs // layer.groups) * layer.kernel_size**2
        self._append(
            "convolution", (outputs, height, width), layer=self.weighted_layers, kernel_size=layer.kernel_size,
            stride=layer.stride, padding=layer.padding, groups=layer.groups, bias=layer.bias,
            parameters=known(weights + layer.bias * outputs, inputs, outputs),
        )  # fmt: skip

    def _append_linear(self, layer: LinearSpec) -> None:
        self.weighted_layers += 1
        inputs, features = math.prod(self.shape), size_of(layer.features)
        parameters = known(inputs * features + layer.bias * features, inputs, features)
        self._append("linear", (features,), layer=self.weighted_layers, bias=layer.bias, parameters=parameters)

    def _append_pool(self, layer: PoolSpec) -> None:
        height, width = pooled(layer, self.shape)
        self._append(layer.kind, (self.shape[0], height, width), kernel_size=layer.size, stride=layer.stride)

    def _append_normalization(self, variant: Variant) -> None:
        self._check_normalization(variant)
        channels, options = self.shape[0], variant.options
        if variant.normalizes == "weights":
            convolution = self._convolution_before()
            self.layers[convolution] = self.layers[convolution].model_copy(update={"standardized": True})
        if variant.normalizes != "activations":
            return
        self._append(
            "normalization", self.shape, variant=variant.name,
            parameters=known(variant.parameters(channels), channels if variant.learned_per_channel else 1),
            groups=self.defaults.group_count if "group_count" in options else None,
        )  # fmt: skip
        if self.defaults.affine:
            self._append("affine", self.shape, variant=variant.name, parameters=known(2 * channels, channels))
        if variant.thresholded:
            self._append("thresholded_linear", self.shape, variant=variant.name, parameters=known(channels, channels))

    def _check_normalization(self, variant: Variant) -> None:
        number = self._layer_number()
        if number in self.normalized:
            producer = f"layer {number} is" if number else "the images are"
            raise ValueError(f"{producer} already followed by a normalization; leave one of the two out")
        self.normalized.add(number)
        given = NormalizationInput(
            channels=self.shape[0],
            produced_by=None if self.source == IMAGES else self.layers[self.source].kind,
            after_convolution=self._convolution_before() != IMAGES,
            group_count=self.defaults.group_count,
        )
        if refusal := variant.requires(given):
            raise ValueError(refusal)

    def _convolution_before(self) -> int:
        """Return the index in `layers` of the last convolution on the way to the current layer, or IMAGES."""
        index = self.source
        while index != IMAGES and self.layers[index].kind != "convolution":
            index = self.layers[index].inputs[0]
        return index

    def _append_add(self, layer: AddSpec) -> None:
        shortcut = self._output_of(layer.shortcut, "shortcut")
        if self.shape_at(shortcut) != self.shape:
            raise ValueError(
                f"the two inputs of add must have one shape; its input is {shape_text(self.shape)}, its shortcut, "
                f"{layer.shortcut}, is {shape_text(self.shape_at(shortcut))}; change the shortcut's by a convolution"
            )
        self._append("add", self.shape, inputs=(self.source, shortcut))

    def _layer_number(self) -> int:
        """Return the number, from 1, of the weighted layer that the current layer's input comes from, or 0."""
        return 0 if self.source == IMAGES else self.layers[self.source].layer

    def _append(self, kind: Kind, output_shape: Shape, **details: object) -> None:
        common = {
            "layer": self._layer_number(), "kind": kind, "inputs": (self.source,), "input_shape": self.shape,
            "output_shape": output_shape,
        }  # fmt: skip
        self.layers.append(LayerShape.model_validate(common | details))
        self.source = len(self.layers) - 1
