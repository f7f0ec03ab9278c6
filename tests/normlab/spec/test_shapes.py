"""The shapes and parameters of networks, and the networks that are refused."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import Activation, ConvolutionSpec, GlobalAveragePoolSpec
from normlab.spec.shapes import Defaults, layer_shapes
from tests.factories import MIXED, RESIDUAL

CONVOLUTION, MEAN = {"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}


class TestLayerShapes:
    @pytest.mark.parametrize("activation", get_args(Activation))
    def test_activation_is_the_specs_unless_it_is_named(self, activation):
        """A layer of kind activation has the spec's function, and a layer of another kind has its own."""
        layers = ExperimentSpec(activation=activation).layer_shapes()
        assert [layer.kind for layer in layers][1::2] == [activation] * 6
        named = [{"kind": "convolution", "channels": 10}, {"kind": "silu"}, {"kind": "global_average_pool"}]
        layers = ExperimentSpec.model_validate({"activation": activation, "network": named}).layer_shapes()
        assert layers[1].kind == "silu"

    def test_every_kind_of_layer_has_shape_and_parameters(self):
        """Pools, linear layers and dropout have the shapes and parameter counts of their formulas."""
        layers = ExperimentSpec.model_validate({"dataset": "digits", "network": MIXED}).layer_shapes()
        assert [(layer.layer, layer.kind, layer.output_shape, layer.parameters) for layer in layers] == [
            (1, "convolution", (6, 32, 32), 6 * 3 * 9 + 6),
            (1, "relu", (6, 32, 32), 0),
            (1, "max_pool", (6, 16, 16), 0),
            (2, "convolution", (12, 16, 16), 12 * 3 * 9),
            (2, "average_pool", (12, 7, 7), 0),
            (3, "linear", (20,), 12 * 49 * 20 + 20),
            (3, "relu", (20,), 0),
            (3, "dropout", (20,), 0),
            (4, "linear", (10,), 200),
        ]

    def test_residual_layers_name_their_inputs(self):
        """The inputs of a residual network are indices in the list of built layers, with and without normalization."""
        spec = ExperimentSpec(dataset="digits", normalization="batch", network=RESIDUAL)
        layers = spec.layer_shapes()
        assert [layer.inputs for layer in layers if layer.kind == "add"] == [(7, 2), (16, 14)]
        assert layers[15].inputs == (9,)
        assert [layer.output_shape for layer in layers if layer.kind == "add"] == [(8, 16, 16), (12, 8, 8)]
        without_normalization = ExperimentSpec(dataset="digits", network=RESIDUAL).layer_shapes()
        assert [layer.inputs for layer in without_normalization if layer.kind == "add"] == [(4, 1), (10, 9)]

    @given(
        size=st.integers(1, 40),
        kernel=st.integers(1, 7),
        stride=st.integers(1, 4),
        padding=st.integers(0, 3) | st.just("same"),
    )
    def test_convolution_has_the_shape_of_normcores(self, size, kernel, stride, padding):
        """A convolution's shape is that of normcore's output, and is refused if normcore refuses it."""
        from normcore import Convolution

        layer = ConvolutionSpec(channels=2, kernel_size=kernel, stride=stride, padding=padding)
        built = Convolution(torch.zeros(2, 3, kernel, kernel), stride=stride, padding=padding)
        try:
            layers = layer_shapes((layer, GlobalAveragePoolSpec()), image_size=size, classes=2, defaults=Defaults())
        except ValueError:
            with pytest.raises(ValueError, match="does not fit"):
                built.forward(torch.zeros(1, 3, size, size))
        else:
            out, _ = built.forward(torch.zeros(1, 3, size, size))
            assert layers[0].output_shape == tuple(out.shape[1:])


REFUSED = {
    "no weighted layer": ([{"kind": "global_average_pool"}], {}, "at least one convolution or linear layer"),
    "logits that are not the classes": (
        [{"kind": "convolution", "channels": 7}, MEAN], {},
        "the network ends in 7 logits, the data set has 10 classes; let the last layer output 10",
    ),
    "no pooling at the end": (
        [CONVOLUTION], {}, "one logit per class; convolution outputs 10×96×96; end the network with",
    ),
    "a layer after the pooling": (
        [CONVOLUTION, MEAN, {"kind": "max_pool"}], {},
        "network[2]: max_pool needs an input of shape C×H×W; its input has shape 10; put it before the first linear or "
        "global_average_pool",
    ),
    "two normalizations in a block": (
        [CONVOLUTION, {"kind": "normalization"}, {"kind": "normalization"}, MEAN], {},
        "network[2]: layer 1 is already followed by a normalization",
    ),
    "two normalizations of the images": (
        [{"kind": "normalization"}, {"kind": "normalization"}, CONVOLUTION, MEAN], {"normalization": "batch"},
        "network[1]: the images are already followed by a normalization",
    ),
    "channels that do not divide into groups": (
        None, {"normalization": "group", "group_count": 5},
        "network[2]: group_count=5 must divide the 16 channels of the input; set group_count to a divisor of 16",
    ),
    "Box-Cox of what may be negative": (
        None, {"normalization": "box_cox", "activation": "tanh"},
        "network[2]: box_cox must follow a relu, because it has no value for negative numbers; its input comes from "
        "tanh; put a relu before it, or use yeo_johnson",
    ),
    "Box-Cox of the images": (
        [{"kind": "normalization", "variant": "box_cox"}, CONVOLUTION, MEAN], {},
        "network[0]: box_cox must follow a relu, because it has no value for negative numbers; its input comes from "
        "the images",
    ),
    "groups that do not divide": (
        [{"kind": "convolution", "channels": 10, "groups": 2}, MEAN], {},
        "network[0]: groups=2 must divide both 3 input and 10 output channels; the largest number that does is 1",
    ),
    "a window larger than its image": (
        [{"kind": "max_pool", "size": 5}, {"kind": "linear", "features": 10}], {"image_size": 4},
        "network[0]: a 5×5 window with padding 0 does not fit its input of shape 3×4×4",
    ),
    "no weights to standardize": (
        [{"kind": "normalization"}, CONVOLUTION, MEAN], {"normalization": "weight_standardization"},
        "network[0]: weight_standardization needs a convolution before it",
    ),
    "a sum of two shapes": (
        [CONVOLUTION, {"kind": "add", "shortcut": -1}, MEAN], {},
        "network[1]: the two inputs of add must have one shape; its input is 10×96×96, its shortcut, -1, is 3×96×96",
    ),
    "a shortcut from a later layer": (
        [CONVOLUTION, {"kind": "add", "shortcut": 2}, MEAN], {},
        "network[1]: shortcut=2 must be below 1: a layer can only take the output of an earlier layer",
    ),
    "a layer that takes its own output": (
        [{"kind": "convolution", "channels": 10, "input": 0}, MEAN], {},
        "network[0]: input=0 must be below 0: a layer can only take the output of an earlier layer",
    ),
    "an output that no layer takes": (
        [{"kind": "convolution", "channels": 4}, {"kind": "convolution", "channels": 10, "input": -1}, MEAN], {},
        "network[0]: no layer takes its output; name 0 as the input or shortcut of a later layer",
    ),
    "an image that shrinks to nothing": (
        [
            {"kind": "convolution", "channels": 16, "stride": 2, "padding": 0}, {"kind": "relu"},
            {"kind": "convolution", "channels": 16, "stride": 2, "padding": 0}, {"kind": "relu"},
            {"kind": "convolution", "channels": 10, "padding": 0}, {"kind": "global_average_pool"},
        ],
        {"dataset": "digits", "image_size": 8},
        "network[4]: a 3×3 window with padding 0 does not fit its input of shape 16×1×1",
    ),
}  # fmt: skip


class TestRefusal:
    @pytest.mark.parametrize(("network", "fields", "message"), REFUSED.values(), ids=REFUSED)
    def test_network_that_does_not_fit_is_refused(self, network, fields, message):
        """A network that does not fit is refused with a message that names the layer and its numbers."""
        with pytest.raises(ValidationError) as refusal:
            ExperimentSpec.model_validate(fields | ({} if network is None else {"network": network}))
        error = refusal.value.errors()[0]
        field, *index = error["loc"]
        assert field == "network"
        assert message in "".join(f"network[{each}]: " for each in index) + error["msg"]
