"""The gradient check: every kind of experiment's own network passes it, and a wrong formula does not."""

from typing import get_args

import pytest
import torch

import normcore.layers.affine
import normcore.layers.batch_norm
import normcore.layers.box_cox
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import Activation, Normalization
from tests.factories import MIXED, RESIDUAL
from worker import datasets
from worker.training.gradient_check import WrongGradient, check_gradients

VARIANTS = {
    f"{variant}{', original' if protocol == 'original' else ''}{', affine' if affine else ''}": {
        "normalization": variant, "protocol": protocol, "affine": affine,
    }
    for variant in get_args(Normalization)
    for protocol, affine in (("standard", False), ("original", True))
}  # fmt: skip
EXPERIMENTS = (
    VARIANTS
    | {activation: {"activation": activation, "normalization": "batch"} for activation in get_args(Activation)}
    | {
        "every other layer": {"network": MIXED},
        "a residual network": {"network": RESIDUAL, "normalization": "instance"},
        "Box-Cox at 0": {"normalization": "box_cox", "box_cox_lambda": 0.0},
        "Yeo-Johnson at 0": {"normalization": "yeo_johnson", "yeo_johnson_lambda": 0.0, "activation": "silu"},
        "Yeo-Johnson at 2": {"normalization": "yeo_johnson", "yeo_johnson_lambda": 2.0, "activation": "tanh"},
        "instances of one pixel": {"normalization": "instance", "image_size": 8},
    }
)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    data = datasets.load(
        "digits", data_dir=tmp_path_factory.mktemp("x"), image_size=32, train_size=20, test_size=10
    ).train
    return data.images, data.labels


WRONG = {
    "a batch normalization without the mean of dout": (
        normcore.layers.batch_norm, "standardize_backward", {"normalization": "batch"}, "layer 5 (normalization)",
        lambda dout, cache, axes: cache.rstd * (dout - cache.out() * (dout * cache.out()).mean(axes, keepdim=True)),
    ),
    "a Box-Cox with half the gradient of λ": (
        normcore.layers.box_cox, "exprel_derivative", {"normalization": "box_cox"}, "layer 5 (normalization)",
        lambda z: 0.5 * normcore.layers.exprel.exprel_derivative(z),
    ),
}  # fmt: skip


class TestCheckGradients:
    @pytest.mark.parametrize("fields", EXPERIMENTS.values(), ids=EXPERIMENTS)
    def test_every_layers_gradient_equals_autograds(self, batch, fields):
        """Every kind of experiment's own network passes the check with errors below 1e-10."""
        spec = ExperimentSpec(dataset="digits", **fields)
        checked = check_gradients(spec, *batch)
        assert [(row["layer"], row["kind"]) for row in checked] == [
            (shape.layer, shape.kind) for shape in spec.layer_shapes()
        ]
        assert all(row["error"] < 1e-10 for row in checked)

    @pytest.mark.parametrize(("module", "name", "fields", "layer", "wrong"), WRONG.values(), ids=WRONG)
    def test_wrong_formula_is_refused_by_its_layer(self, batch, monkeypatch, module, name, fields, layer, wrong):
        """A wrong backward formula raises WrongGradient, and the message names its layer."""
        monkeypatch.setattr(module, name, wrong)
        with pytest.raises(WrongGradient, match=r"is wrong: its relative error against autograd is") as refused:
            check_gradients(ExperimentSpec(dataset="digits", **fields), *batch)
        assert layer in str(refused.value)

    def test_overflow_is_no_error_of_the_formula(self, batch):
        """Gradients that overflow have an error of None and do not fail the check."""
        spec = ExperimentSpec(dataset="digits", normalization="box_cox", box_cox_lambda=9.0, init_std=10.0)
        assert None in [row["error"] for row in check_gradients(spec, *batch)]

    def test_gradient_mode_is_restored(self, batch):
        """The check does not leave autograd switched on."""
        with torch.no_grad():
            check_gradients(ExperimentSpec(dataset="digits"), *batch)
            assert not torch.is_grad_enabled()
