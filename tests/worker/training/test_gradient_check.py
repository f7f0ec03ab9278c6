"""The gradient check: every kind of training passes it, a wrong one does not, and the training is not changed."""

from typing import get_args

import pytest
import torch

import normcore.layers.batch_norm
import normcore.layers.box_cox
import normcore.layers.exprel
from normcore import Convolution, GlobalAveragePool, RunningStatistics
from normcore.engines import Eager
from normcore.step import TrainingStep
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import Activation, Normalization
from tests.factories import MIXED, RESIDUAL
from tests.worker.training.trainings import CPU
from worker import datasets
from worker.training.gradient_check import check_gradients
from worker.training.training import Training

VARIANTS = {
    f"{variant}{', original' if protocol == 'original' else ''}{', affine' if affine else ''}": {
        "normalization": variant, "protocol": protocol, "affine": affine,
    }
    for variant in get_args(Normalization)
    for protocol, affine in (("standard", False), ("original", True))
}  # fmt: skip
PENALTY = {"weight_decay": 0.01, "weight_decay_kind": "coupled"}
CANCELLING = [  # batch normalization removes what the bias adds
    {"kind": "convolution", "channels": 1, "bias": True}, {"kind": "normalization"}, {"kind": "activation"},
    {"kind": "convolution", "channels": 10, "kernel_size": 1}, {"kind": "normalization"}, {"kind": "activation"},
    {"kind": "global_average_pool"},
]  # fmt: skip
EXPERIMENTS = (
    VARIANTS
    | {activation: {"activation": activation, "normalization": "batch"} for activation in get_args(Activation)}
    | {
        "every other layer": {"network": MIXED},
        "a residual network": {"network": RESIDUAL, "normalization": "instance"},
        "recomputation": {"normalization": "batch", "memory": "recompute"},
        "SGD": {"optimizer": "sgd", "weight_decay": 0.01, "warmup_epochs": 1},
        "Nesterov's SGD": {"optimizer": "sgd", "sgd_nesterov": True} | PENALTY,
        "AdamW": {"weight_decay": 0.01, "learning_rate_schedule": "cosine"},
        "Adam with a penalty": {"learning_rate_schedule": "step"} | PENALTY,
        "a bias whose gradient cancels": {"network": CANCELLING, "normalization": "batch"},
        "Box-Cox at 0": {"normalization": "box_cox", "box_cox_lambda": 0.0},
        "Box-Cox near 0": {"normalization": "box_cox", "box_cox_lambda": 1e-9},
        "Yeo-Johnson at 0": {"normalization": "yeo_johnson", "yeo_johnson_lambda": 0.0, "activation": "silu"},
        "Yeo-Johnson at 2": {"normalization": "yeo_johnson", "yeo_johnson_lambda": 2.0, "activation": "tanh"},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return datasets.load("digits", data_dir=tmp_path_factory.mktemp("x"), image_size=32, train_size=50, test_size=20)


def training_of(data, **fields):
    return Training(ExperimentSpec(**({"dataset": "digits", "epochs": 2} | fields)), data, CPU)


def double_parameter_gradients(monkeypatch):
    right = Convolution.parameter_gradients
    monkeypatch.setattr(
        Convolution, "parameter_gradients", lambda *given: {name: 2 * dw for name, dw in right(*given).items()}
    )


def shift_means(monkeypatch):
    right = GlobalAveragePool.forward
    monkeypatch.setattr(GlobalAveragePool, "forward", lambda *given: (right(*given)[0] + 1, right(*given)[1]))


def freeze_statistics(monkeypatch):
    monkeypatch.setattr(RunningStatistics, "update", lambda *given: None)


def return_zeros(monkeypatch):
    right = TrainingStep.test_logits
    monkeypatch.setattr(TrainingStep, "test_logits", lambda *given: 0 * right(*given))


def drop_mean_of_dout(monkeypatch):
    def wrong(dout, cache, axes):
        return cache.rstd * (dout - cache.out() * (dout * cache.out()).mean(axes, keepdim=True))

    monkeypatch.setattr(normcore.layers.batch_norm, "standardize_backward", wrong)


def halve_lambda_gradient(monkeypatch):
    right = normcore.layers.exprel.exprel_derivative
    monkeypatch.setattr(normcore.layers.box_cox, "exprel_derivative", lambda z: (0.5 * right(z)[0], right(z)[1]))


WRONG = {
    "parameter gradients of the first layer doubled": (
        double_parameter_gradients, {}, "the gradient of layer 1 (convolution)",
    ),
    "a mean that is shifted by 1": (shift_means, {}, "the output of layer 6 (global_average_pool)"),
    "running statistics that never move": (
        freeze_statistics, {"normalization": "batch"}, "the running average or count running_mean of layer 1",
    ),
    "a test pass that returns 0": (return_zeros, {}, "the output of the test pass"),
    "a batch normalization without the mean of dout": (
        drop_mean_of_dout, {"normalization": "batch"}, "the gradient of layer 5 (normalization)",
    ),
    "a Box-Cox with half the gradient of λ": (
        halve_lambda_gradient, {"normalization": "box_cox"}, "the gradient of layer 5 (normalization)",
    ),
}  # fmt: skip


class TestRightTraining:
    @pytest.mark.parametrize("fields", EXPERIMENTS.values(), ids=EXPERIMENTS)
    def test_passes_far_below_the_limits(self, data, fields):
        """Every kind of training passes, with errors far below their limits in float64, and every value is compared."""
        training = training_of(data, **fields)
        check = check_gradients(training)
        assert check.failure is None
        assert [(row.layer, row.kind) for row in check.layers] == [(s.layer, s.kind) for s in training.layers]
        assert len(check.parameters) == len(training.network.parameters())
        assert len(check.running_statistics) == len(training.network.buffers())
        rows = [error for row in check.layers for error in (row.output, row.gradients)]
        rows += [row.change for row in check.parameters + check.running_statistics]
        rows += [check.scaled_images, check.loss, check.correct, check.test_logits]
        assert max(row.float64 / row.float64_limit for row in rows) < 0.01
        assert max(row.float64_limit for row in rows) < 1e-4
        assert all(row.training <= row.training_limit for row in rows)

    def test_continues_as_if_it_had_not_been_checked(self, data):
        """A training that was checked before and within an epoch ends with the same bits as one that was not."""
        ends = []
        for checked_at in ((), (0, 2)):
            training = training_of(data, network=MIXED, batch_size=10)

            def on_step(step, loss, training=training, checked_at=checked_at):
                if step in checked_at:
                    check_gradients(training)

            if 0 in checked_at:
                check_gradients(training)
            training.run_epoch(on_step)
            ends.append({name: tensor.clone() for name, tensor in training.state().items()})
        assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())

    def test_passes_after_an_epoch_and_says_where(self, data):
        """A check of a trained network starts from its averages, and says after how many steps it was taken."""
        training = training_of(data, normalization="range", weight_decay=0.01, learning_rate_schedule="cosine")
        training.run_epoch(lambda step, loss: None)
        check = check_gradients(training)
        assert (check.failure, check.step) == (None, 3)

    def test_gradient_mode_is_restored(self, data):
        """The check does not leave autograd switched on."""
        with torch.no_grad():
            check_gradients(training_of(data))
            assert not torch.is_grad_enabled()


class TestWrongTraining:
    @pytest.mark.parametrize(("make_wrong", "fields", "place"), WRONG.values(), ids=WRONG)
    def test_fails_and_names_the_place(self, data, monkeypatch, make_wrong, fields, place):
        """A wrong value fails the check, and the sentence names the value and its layer."""
        make_wrong(monkeypatch)
        check = check_gradients(training_of(data, **fields))
        assert not check.passed
        assert check.failure.startswith(place)
        assert " is wrong: its relative error against " in check.failure

    def test_engine_that_trains_otherwise_fails_in_training(self, data):
        """An engine that is wrong fails although the formulas are right in float64."""

        class Shrinking(Eager):
            def __call__(self, indices, probe=None):
                result = super().__call__(indices, probe)
                for parameter in self.step.network.parameters().values():
                    parameter.mul_(0.99)
                return result

        training = training_of(data)
        training.engine = Shrinking(training.step)
        check = check_gradients(training)
        assert check.failure.startswith("the optimizer's update of weight of layer 1 (convolution) is wrong")
        assert check.failure.endswith("in the training's own steps")


class TestOverflow:
    def test_is_no_error_of_the_formula(self, data):
        """Gradients that overflow have no error and do not fail the check."""
        check = check_gradients(training_of(data, normalization="box_cox", box_cox_lambda=9.0, init_std=10.0))
        assert check.failure is None
        assert None in [row.gradients.float64 for row in check.layers]


class TestDepartures:
    def test_are_named_and_measured(self, data):
        """Under protocol original the answer names the fields that depart, and by how much in each layer."""
        check = check_gradients(training_of(data, protocol="original", normalization="box_cox"))
        assert check.failure is None
        assert [row.field for row in check.departures] == ["pool_gradient", "filter_gradient", "lambda_gradient"]
        by_kind = {(row.layer, row.kind): row.departure for row in check.layers}
        # The last maps of the study's network have 2 × 2 positions here, so dx is 4 times the true one.
        assert by_kind[6, "relu"] == pytest.approx(3.0)
        assert by_kind[6, "convolution"] == pytest.approx(3.0)
        assert any(
            "pool_gradient and filter_gradient and lambda_gradient change them" in each for each in check.left_out
        )

    def test_are_absent_under_the_standard_protocol(self, data):
        """Under protocol standard there is nothing to measure."""
        check = check_gradients(training_of(data))
        assert check.departures == []
        assert {row.departure for row in check.layers} == {None}
