"""The spec: the article's defaults, the two protocols, and what is refused."""

import json
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import Activation, ConvolutionSpec, GlobalAveragePoolSpec, Normalization
from normlab.spec.protocols import PROTOCOLS
from normlab.spec.shapes import Defaults, layer_shapes
from tests.factories import MIXED, RESIDUAL

CONVOLUTION, MEAN = {"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}


def test_an_empty_spec_is_the_articles_baseline():
    spec = ExperimentSpec()
    assert (spec.dataset, spec.image_size, spec.normalization, spec.protocol) == ("stl10", 96, "none", "standard")
    assert (spec.epochs, spec.batch_size, spec.learning_rate) == (150, 20, 0.0008)
    assert (spec.adam_beta1, spec.adam_beta2, spec.adam_eps) == (0.9, 0.999, 1e-9)
    assert (spec.norm_eps, spec.norm_momentum, spec.box_cox_lambda, spec.init_std) == (1e-8, 0.9, 2.0, 0.05)
    layers = [layer for layer in spec.layer_shapes() if layer.kind == "convolution"]
    assert [layer.output_shape for layer in layers] == [
        (16, 48, 48), (16, 24, 24), (16, 12, 12), (16, 6, 6), (16, 6, 6), (10, 6, 6),
    ]  # fmt: skip
    assert [layer.kind for layer in spec.layer_shapes()[-3:]] == ["convolution", "relu", "global_average_pool"]


@pytest.mark.parametrize("activation", get_args(Activation))
def test_the_studys_network_has_the_experiments_activation_and_a_list_may_name_its_own(activation):
    layers = ExperimentSpec(activation=activation).layer_shapes()
    assert [layer.kind for layer in layers][1::2] == [activation] * 6
    named = [{"kind": "convolution", "channels": 10}, {"kind": "silu"}, {"kind": "global_average_pool"}]
    layers = ExperimentSpec.model_validate({"activation": activation, "network": named}).layer_shapes()
    assert layers[1].kind == "silu"


def test_pools_linear_layers_and_dropout_resolve_to_their_shapes_and_parameters():
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


LEARNED = {"box_cox": 5, "yeo_johnson": 5 * 16, "dynamic_tanh": 5, "filter_response": 5 * 16}


@pytest.mark.parametrize("variant", get_args(Normalization))
def test_every_variant_has_the_same_11088_weights_beside_what_it_learns_itself(variant):
    layers = ExperimentSpec(normalization=variant).layer_shapes()
    assert sum(layer.parameters for layer in layers) == 11_088 + LEARNED.get(variant, 0)


@pytest.mark.parametrize("variant", get_args(Normalization))
def test_a_scale_and_shift_are_learned_after_every_normalization_if_asked_for(variant):
    plain, affine = (ExperimentSpec(normalization=variant, affine=asked).layer_shapes() for asked in (False, True))
    more = sum(layer.parameters for layer in affine) - sum(layer.parameters for layer in plain)
    assert more == (0 if variant in ("none", "weight_standardization") else 5 * 2 * 16)


def test_weight_standardization_is_of_the_convolutions_and_leaves_no_layer_of_its_own():
    layers = ExperimentSpec(normalization="weight_standardization").layer_shapes()
    assert [layer.standardized for layer in layers if layer.kind == "convolution"] == [True] * 5 + [False]
    assert {layer.kind for layer in layers} == {"convolution", "relu", "global_average_pool"}


@pytest.mark.parametrize("part", PROTOCOLS["original"])
def test_the_original_protocol_changes_each_of_its_parts_and_each_can_be_set_alone(part):
    standard, original = PROTOCOLS["standard"][part], PROTOCOLS["original"][part]
    assert standard != original
    assert getattr(ExperimentSpec(), part) == standard
    assert getattr(ExperimentSpec(protocol="original"), part) == original
    assert getattr(ExperimentSpec.model_validate({part: original}), part) == original
    assert getattr(ExperimentSpec.model_validate({"protocol": "original", part: standard}), part) == standard


def test_a_resolved_spec_resolves_to_itself():
    spec = ExperimentSpec(dataset="digits", normalization="batch", protocol="original", shuffle=True, tags=["x"])
    assert ExperimentSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("network", [{}, {"network": MIXED}, {"network": RESIDUAL}], ids=["study", "mixed", "residual"])
def test_a_stored_spec_is_read_as_it_was(network):
    spec = ExperimentSpec.model_validate(
        {"dataset": "digits", "normalization": "batch", "protocol": "original", "tags": ["x"]} | network
    )
    read = ExperimentSpec.stored(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert read == spec
    assert read.layer_shapes() == spec.layer_shapes()
    assert read.model_dump_json() == spec.model_dump_json()


def test_a_stored_spec_is_read_without_the_rules_of_today():
    fields = ExperimentSpec(dataset="digits").model_dump(mode="json")
    del fields["memory"]  # not known then
    read = ExperimentSpec.stored(fields | {"name": "\uffff", "momentum": 0.9, "capture_quantities": ["weight"] * 9})
    assert read.memory == "standard"
    assert (read.name, read.capture_quantities) == ("\uffff", ("weight",) * 9)
    assert "momentum" not in read.model_dump()


REFUSED = {
    "an unknown field": ("epoch", {"epoch": 3}, "Extra inputs"),
    "no epochs": ("epochs", {"epochs": 0}, "greater than or equal to 1"),
    "an unknown data set": ("dataset", {"dataset": "imagenet"}, "digits"),
    "a rate that is no number": ("learning_rate", {"learning_rate": float("nan")}, "finite"),
    "an unknown variant": ("normalization", {"normalization": "sphere"}, "box_cox"),
    "more images than there are": ("train_size", {"dataset": "digits", "train_size": 9_999}, "at most 1438"),
    "a folder without its name": ("folder", {"dataset": "folder"}, "needed with dataset"),
    "a folder's name without the folder": ("folder", {"folder": "x"}, "only there"),
    "an unknown quantity": ("capture_quantities.0", {"capture_quantities": ["bias"]}, "weight_gradient"),
    "a device of no kind": ("device", {"device": "tpu"}, "pattern"),
    "steps after the updates": ("capture_unit", {"protocol": "original", "capture_unit": "step"}, "once an epoch"),
    "a folder out of the data directory": ("folder", {"dataset": "folder", "folder": "a/../../etc"}, "below the data"),
    "a folder from the root": ("folder", {"dataset": "folder", "folder": "/etc"}, "below the data"),
    "a number in quotes": ("epochs", {"epochs": "5"}, "valid integer"),
    "a truth for a number": ("seed", {"seed": True}, "valid integer"),
    "a word for a truth": ("shuffle", {"shuffle": "yes"}, "valid boolean"),
    "a number in quotes, in a layer": (
        "network.0.convolution.channels", {"network": [{"kind": "convolution", "channels": "10"}]}, "valid integer",
    ),
    "a warm-up without an end": ("warmup_epochs", {"epochs": 5, "warmup_epochs": 5}, "fewer than `epochs`"),
    "no layers": ("network", {"network": []}, "at least 1"),
    "no convolution": ("network", {"network": [{"kind": "global_average_pool"}]}, "at least one convolution"),
    "scores that are not the classes": (
        "network", {"network": [{"kind": "convolution", "channels": 7}, {"kind": "global_average_pool"}]},
        "7 scores, the data set has 10",
    ),
    "no pooling at the end": (
        "network", {"network": [{"kind": "convolution", "channels": 10}]}, "convolution outputs 10×96×96",
    ),
    "a layer after the pooling": (
        "network", {"network": [CONVOLUTION, MEAN, {"kind": "max_pool"}]},
        "layer 2 (max_pool) needs images; its input is 10 numbers",
    ),
    "two normalizations in a block": ("network", {
            "network": [
                {"kind": "convolution", "channels": 10}, {"kind": "normalization"}, {"kind": "normalization"},
                {"kind": "global_average_pool"},
            ]
        },
        "layer 2: convolution 1 is already followed",
    ),
    "channels that do not divide into groups": (
        "network", {"normalization": "group", "group_count": 5},
        "layer 2: the 16 channels of its input do not divide into 5 groups",
    ),
    "Box-Cox of what may be negative": (
        "network", {"normalization": "box_cox", "activation": "tanh"}, "layer 2: Box-Cox has no value for negative",
    ),
    "groups that do not divide": (
        "network",
        {"network": [{"kind": "convolution", "channels": 10, "groups": 2}, {"kind": "global_average_pool"}]},
        "layer 0: 2 groups divide neither or only one of its 3 input and 10 output channels",
    ),
    "a window larger than its image": (
        "network", {"image_size": 4, "network": [{"kind": "max_pool", "size": 5}, {"kind": "linear", "features": 10}]},
        "layer 0: a 5×5 window with padding 0 does not fit its input of shape 3×4×4",
    ),
    "no weights to standardize": (
        "network",
        {
            "normalization": "weight_standardization",
            "network": [{"kind": "normalization"}, CONVOLUTION, MEAN],
        },
        "layer 0: there is no convolution before it",
    ),
    "a sum of two shapes": (
        "network",
        {"network": [CONVOLUTION, {"kind": "add", "shortcut": -1}, MEAN]},
        "layer 1: a sum needs two inputs of one shape; its input is 10×96×96, its shortcut, layer -1, 3×96×96",
    ),
    "a shortcut from further on": (
        "network",
        {"network": [CONVOLUTION, {"kind": "add", "shortcut": 2}, MEAN]},
        "layer 1 can only take the output of a layer before it, not of layer 2",
    ),
    "a layer that takes itself": (
        "network", {"network": [{"kind": "convolution", "channels": 10, "input": 0}, {"kind": "global_average_pool"}]},
        "layer 0 can only take the output of a layer before it, not of layer 0",
    ),
    "a layer whose output goes nowhere": (
        "network",
        {"network": [
            {"kind": "convolution", "channels": 4}, {"kind": "convolution", "channels": 10, "input": -1},
            {"kind": "global_average_pool"},
        ]},
        "nothing takes the output of layer 0",
    ),
    "an image that shrinks to nothing": ("network", {
            "dataset": "digits", "image_size": 8,
            "network": [
                {"kind": "convolution", "channels": 16, "stride": 2, "padding": 0}, {"kind": "relu"},
                {"kind": "convolution", "channels": 16, "stride": 2, "padding": 0}, {"kind": "relu"},
                {"kind": "convolution", "channels": 10, "padding": 0}, {"kind": "global_average_pool"},
            ],
        },
        "layer 4: a 3×3 window with padding 0 does not fit its input of shape 16×1×1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("field", "data", "said"), REFUSED.values(), ids=REFUSED)
def test_a_spec_is_refused_for(field, data, said):
    with pytest.raises(ValidationError) as refused:
        ExperimentSpec.model_validate(data)
    error = refused.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == field
    assert said in error["msg"]


def test_a_residual_network_resolves_to_layers_that_name_their_inputs():
    spec = ExperimentSpec(dataset="digits", normalization="batch", network=RESIDUAL)
    layers = spec.layer_shapes()
    assert [layer.inputs for layer in layers if layer.kind == "add"] == [(7, 2), (16, 14)]
    assert layers[15].inputs == (9,)
    assert [layer.output_shape for layer in layers if layer.kind == "add"] == [(8, 16, 16), (12, 8, 8)]
    without = ExperimentSpec(dataset="digits", network=RESIDUAL).layer_shapes()  # no normalization: other places
    assert [layer.inputs for layer in without if layer.kind == "add"] == [(4, 1), (10, 9)]


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3) | st.just("same"),
)
def test_the_arithmetic_of_shapes_is_normcores(size, kernel, stride, padding):
    from normcore import Convolution

    layer = ConvolutionSpec(channels=2, kernel_size=kernel, stride=stride, padding=padding)
    ours = Convolution(torch.zeros(2, 3, kernel, kernel), stride=stride, padding=padding)
    try:
        resolved = layer_shapes((layer, GlobalAveragePoolSpec()), image_size=size, classes=2, defaults=Defaults())
    except ValueError:
        with pytest.raises(ValueError, match="does not fit"):
            ours.forward(torch.zeros(1, 3, size, size))
    else:
        assert resolved[0].output_shape == tuple(ours.forward(torch.zeros(1, 3, size, size))[0].shape[1:])
