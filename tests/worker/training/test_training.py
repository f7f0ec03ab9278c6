"""Training: paired seeds, exact resumption, captures that change nothing, and metrics."""

import math
from typing import get_args

import pytest
import torch

from normcore.network import LayerGradients
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import Activation, Normalization
from tests.factories import MIXED, RESIDUAL, histogram_of
from worker import datasets
from worker.training.build_network import build_network
from worker.training.capture import LayerCapture
from worker.training.checkpoints import pack, unpack
from worker.training.training import Training

CPU = torch.device("cpu")
VARIANTS = get_args(Normalization)
SMALL = {"dataset": "digits", "image_size": 16, "train_size": 90, "test_size": 40, "epochs": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return datasets.load("digits", data_dir=tmp_path_factory.mktemp("x"), image_size=16, train_size=90, test_size=40)


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    return datasets.load("digits", data_dir=tmp_path_factory.mktemp("x"), image_size=32, train_size=100, test_size=40)


def trained(data, **fields):
    training = Training(ExperimentSpec(**(SMALL | fields)), data, CPU)
    return training, [training.run_epoch(lambda step, loss: None) for _ in range(training.spec.epochs)]


class TestSeed:
    def test_seed_determines_weights_and_batches(self, data):
        """One seed gives every variant the same weights and batches, and another seed gives others."""
        first = [Training(ExperimentSpec(**SMALL, normalization=variant), data, CPU) for variant in VARIANTS]
        for training in first[1:]:
            for ours, theirs in zip(training.weights.values(), first[0].weights.values(), strict=True):
                assert torch.equal(ours, theirs)
            assert all(map(torch.equal, training.batches(2), first[0].batches(2)))
        other = Training(ExperimentSpec(**SMALL, seed=1), data, CPU)
        assert not torch.equal(next(iter(other.weights.values())), next(iter(first[0].weights.values())))
        assert not torch.equal(other.batches(0)[0], first[0].batches(0)[0])
        assert not torch.equal(first[0].batches(0)[0], first[0].batches(1)[0])
        assert sorted(torch.cat(first[0].batches(0)).tolist()) == list(range(90))

    def test_original_protocol_keeps_the_file_order(self, data):
        """The original protocol takes the images in file order in every epoch."""
        training = Training(ExperimentSpec(**SMALL, protocol="original"), data, CPU)
        for epoch in range(2):
            assert torch.cat(training.batches(epoch)).tolist() == list(range(90))
        assert len(training.batches(0)[-1]) == 10


OPTIMIZED = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05},
    "nesterov, step": {
        "optimizer": "sgd", "sgd_nesterov": True, "learning_rate": 0.05,
        "learning_rate_schedule": "step", "schedule_step_epochs": 6,
    },
    "adam, cosine, warm-up": {"learning_rate": 0.01, "learning_rate_schedule": "cosine", "warmup_epochs": 2},
    "adamw": {"learning_rate": 0.003, "weight_decay": 0.1},
    "adam, coupled decay": {"learning_rate": 0.003, "weight_decay": 0.001, "weight_decay_kind": "coupled"},
}  # fmt: skip


class TestBuildOptimizer:
    def test_cosine_and_warm_up_have_their_rates(self, larger):
        """The cosine schedule's last rate is near 0, and a warm-up's first is a fraction."""
        spec = ExperimentSpec(
            dataset="digits", train_size=100, test_size=40, epochs=10, learning_rate=0.01,
            learning_rate_schedule="cosine", warmup_epochs=2,
        )  # fmt: skip
        rates = [Training(spec, larger, CPU).optimizer.learning_rate(step) for step in (0, 9, 10, 49)]
        assert rates == pytest.approx([0.001, 0.01, 0.01, 0.01 * (1 + math.cos(math.pi * 39 / 40)) / 2])

    def test_only_weights_decay(self, larger):
        """Weights decay; exponents, scales and shifts do not."""
        spec = ExperimentSpec(
            dataset="digits", train_size=100, test_size=40, normalization="box_cox", affine=True, weight_decay=0.1
        )
        names = Training(spec, larger, CPU).optimizer.weight_decay.names
        assert len(names) == 6
        assert all(name.endswith(".weight") for name in names)


class TestCapture:
    @pytest.mark.parametrize("normalization", VARIANTS)
    def test_captures_change_nothing_of_the_training(self, data, normalization):
        """The training ends the same, bit for bit, however often its layers are captured."""
        last = [
            trained(data, normalization=normalization, **captures)[1][-1].checkpoint
            for captures in (
                {"capture_every": 1000},
                {"capture_every": 1},
                {"capture_every": 1, "capture_unit": "step"},
                {"capture_every": 1, "capture_moment": "after_updates"},
            )
        ]
        assert last == [last[0]] * 4

    def test_epochs_are_captured_at_every_interval(self, data):
        """The first and the last epoch and every interval between are captured."""
        _, records = trained(data, epochs=6, capture_every=2)
        assert [capture.epoch for record in records for capture in record.captures] == [0, 2, 4, 5]
        _, records = trained(data, epochs=1, capture_every=2, capture_unit="step")
        assert [capture.step for capture in records[0].captures] == [2, 4]

    def test_each_quantity_is_what_its_name_says(self, data):
        """The captured quantities are the weights, gradients and updates of the last step."""
        training = Training(ExperimentSpec(**SMALL, normalization="batch"), data, CPU)
        for _ in range(4):
            before = {index: weight.clone() for index, weight in training.weights.items()}
            (record,) = [training.run_epoch(lambda step, loss: None)]
        histograms = record.captures[0].histograms
        assert {layer for layer, quantity in histograms if quantity == "weight_gradient"} == {1, 2, 3, 4, 5, 6}
        assert {layer for layer, quantity in histograms if quantity == "norm_input_gradient"} == {1, 2, 3, 4, 5}
        for layer, (index, weight) in enumerate(training.weights.items(), 1):
            total = {quantity: histograms[layer, quantity].total for number, quantity in histograms if number == layer}
            assert histograms[layer, "weight"].count == weight.numel()
            # At the last step: the weights at which the gradient was computed, and what the optimizer added to them.
            assert total["weight"] + total["update"] == pytest.approx(float(weight.double().sum()), abs=1e-4)
            assert total["weight_minus_gradient"] == pytest.approx(total["weight"] - total["weight_gradient"], abs=1e-4)
            assert not torch.equal(weight, before[index])
            assert 0 < abs(histograms[layer, "update"].maximum) < 0.01
        assert histograms[1, "input_gradient"].count == 10 * 3 * 16 * 16  # the last batch has 10 of the 90 images
        assert (
            abs(histograms[3, "norm_input_gradient"].total) < 1e-4
        )  # a normalization's backward pass removes the mean

    def test_capture_holds_the_histogram_of_the_values(self):
        """A capture of values holds their histogram."""
        values = torch.tensor([0.0, -0.0, 0.0, 1e-45, -1e-45, 0.5, -0.5, torch.nan, torch.inf, -torch.inf, 3e38])
        (layer,) = [layer for layer in ExperimentSpec().layer_shapes() if layer.layer == 1][:1]
        capture = LayerCapture([layer], ["input_gradient"])
        capture(0, LayerGradients(values, values, {"weight": values}, None))
        (histogram,) = capture.capture(0, 1).histograms.values()
        wanted = histogram_of(values.numpy())
        assert histogram.bin_index.tolist() == wanted.bin_index.tolist()
        assert histogram.counts.tolist() == wanted.counts.tolist()
        for field in ("zeros", "nans", "positive_infinities", "negative_infinities", "minimum", "maximum", "total"):
            assert getattr(histogram, field) == getattr(wanted, field), field


class TestMetrics:
    def test_loss_and_accuracy_are_means_over_images(self, data):
        """Loss and accuracy are means over the images and not over the batches."""
        training = Training(ExperimentSpec(**SMALL, learning_rate=1e-12), data, CPU)  # weights that hardly move
        record = training.run_epoch(lambda step, loss: None)
        inference = training.network.for_inference()
        logits = inference.logits(data.train.images.float() / 255)
        loss = torch.nn.functional.cross_entropy(logits, data.train.labels)
        assert record.metrics.train_loss == pytest.approx(float(loss), rel=1e-5)
        assert record.metrics.train_accuracy == float((logits.argmax(1) == data.train.labels).double().mean())
        logits = inference.logits(data.test.images.float() / 255)
        assert record.metrics.test_accuracy == float((logits.argmax(1) == data.test.labels).double().mean())


class TestBuildNetwork:
    def test_initial_weights_have_the_specs_deviation(self):
        """The initial weights have the standard deviation of the spec."""
        network = build_network(ExperimentSpec(init_std=0.3), CPU)
        weights = torch.cat([parameter.flatten() for parameter in network.parameters().values()])
        assert float(weights.std()) == pytest.approx(0.3, rel=0.03)

    def test_original_statistics_have_a_slot_for_each_image(self):
        """The original protocol's statistics have one slot for each image of a batch, and start at 0."""
        network = build_network(ExperimentSpec(normalization="layer", protocol="original"), CPU)
        assert {tuple(buffer.shape) for buffer in network.buffers().values()} == {(20, 1, 1, 1)}
        network = build_network(ExperimentSpec(normalization="instance", protocol="original"), CPU)
        assert {tuple(buffer.shape) for buffer in network.buffers().values()} == {(20, 16, 1, 1)}
        assert all(float(buffer.abs().sum()) == 0 for buffer in network.buffers().values())


class Interrupted(Exception):
    """The training is interrupted."""


def without_times(metrics):
    return metrics.train_loss, metrics.train_accuracy, metrics.test_loss, metrics.test_accuracy


def captured_in(records):
    return [
        (capture.step, key, histogram.to_bytes(), histogram.zeros)
        for record in records
        for capture in record.captures
        for key, histogram in capture.histograms.items()
    ]


class TestResume:
    @pytest.mark.parametrize("protocol", ["standard", "original"])
    @pytest.mark.parametrize("normalization", VARIANTS)
    def test_resumed_training_ends_bit_identically(self, data, normalization, protocol):
        """A training resumed after an epoch ends with the same checkpoint, losses and histograms."""
        fields = {"normalization": normalization, "protocol": protocol}
        _, undisturbed = trained(data, **fields)

        resumed = Training(ExperimentSpec(**(SMALL | fields)), data, CPU)
        resumed.resume(unpack(undisturbed[0].checkpoint.content, undisturbed[0].checkpoint.sha256))
        records = [resumed.run_epoch(lambda step, loss: None) for _ in range(2)]

        assert records[-1].checkpoint == undisturbed[-1].checkpoint
        assert records[-1].metrics.test_loss == undisturbed[-1].metrics.test_loss
        ours, theirs = (each[-1].captures[0].histograms for each in (records, undisturbed))
        assert ours.keys() == theirs.keys()
        for key, histogram in ours.items():
            assert histogram.to_bytes() == theirs[key].to_bytes()
            assert (histogram.zeros, histogram.total) == (theirs[key].zeros, theirs[key].total)

    def test_wrong_checkpoint_is_refused(self, data):
        """A checkpoint with other bytes than its hash, or of another network, raises ValueError."""
        training, records = trained(data, epochs=1)
        kept = records[0].checkpoint
        with pytest.raises(ValueError, match="hash"):
            unpack(kept.content[:-1] + bytes([kept.content[-1] ^ 1]), kept.sha256)
        other = Training(ExperimentSpec(**SMALL, normalization="batch"), data, CPU)
        with pytest.raises(ValueError, match="another network"):
            other.resume(unpack(kept.content, kept.sha256))
        assert pack(training.state()) == kept

    @pytest.mark.parametrize("protocol", ["standard", "original"])
    @pytest.mark.parametrize("network", [None, MIXED], ids=["study", "mixed"])
    def test_interrupted_training_ends_bit_identically(self, data, protocol, network):
        """Interrupted after any step and resumed, a training ends with the same metrics, captures and checkpoint."""
        fields = {"normalization": "batch", "protocol": protocol, "epochs": 2, "batch_size": 30}
        fields |= {} if network is None else {"network": network}
        fields |= {} if protocol == "original" else {"capture_unit": "step", "capture_every": 1}
        whole, undisturbed = trained(data, **fields)

        def stop_after(last):
            def after_step(step, loss):
                if step == last:
                    raise Interrupted

            return after_step

        for last in range(1, 2 * whole.steps_per_epoch + 1):
            interrupted, records = Training(whole.spec, data, CPU), []
            with pytest.raises(Interrupted):
                while True:
                    records.append(interrupted.run_epoch(stop_after(last)))
            part = interrupted.unrecorded()
            assert part.metrics is None
            assert part.checkpoint.step == last
            assert interrupted.unrecorded() is None

            resumed = Training(whole.spec, data, CPU)
            resumed.resume(unpack(part.checkpoint.content, part.checkpoint.sha256))
            records.append(part)
            while resumed.epochs_done < whole.spec.epochs:
                records.append(resumed.run_epoch(lambda step, loss: None))
            assert records[-1].checkpoint == undisturbed[-1].checkpoint
            untimed = [without_times(r.metrics) for r in records if r.metrics]
            assert untimed == [without_times(r.metrics) for r in undisturbed]
            assert captured_in(records) == captured_in(undisturbed)

    def test_state_that_is_not_finite_is_not_recorded(self, data):
        """A state with a NaN or an infinity gives no record to resume from."""
        wild = {"normalization": "box_cox", "box_cox_lambda": 9.0, "init_std": 10.0, "learning_rate": 10.0}
        training = Training(ExperimentSpec(**(SMALL | wild)), data, CPU)

        def stop(step, loss):
            if step == training.steps_per_epoch - 1:
                raise Interrupted

        with pytest.raises(Interrupted):
            training.run_epoch(stop)
        assert training.steps_done > 0
        assert training.unrecorded() is None


@pytest.mark.slow
class TestLearning:
    @pytest.mark.parametrize("affine", [False, True])
    @pytest.mark.parametrize("normalization", VARIANTS)
    def test_every_variant_learns(self, larger, normalization, affine):
        """Every variant learns, with as many parameters as the spec counts."""
        spec = ExperimentSpec(
            dataset="digits", train_size=100, test_size=40, normalization=normalization, affine=affine,
            init_std=0.15, learning_rate=0.003, epochs=15,
        )  # fmt: skip
        training = Training(spec, larger, CPU)
        built = sum(parameter.numel() for parameter in training.network.parameters().values())
        assert built == sum(layer.parameters for layer in training.layers)

        metrics = [training.run_epoch(lambda step, loss: None).metrics for _ in range(spec.epochs)]

        assert min(epoch.train_loss for epoch in metrics) < metrics[0].train_loss - 0.3
        # At some epoch, because filter response without a scale of its own goes up and down, depending on rounding.
        assert max(epoch.train_accuracy for epoch in metrics) > 0.5

    @pytest.mark.parametrize("activation", get_args(Activation))
    def test_every_activation_learns(self, larger, activation):
        """Every activation learns."""
        spec = ExperimentSpec(
            dataset="digits", train_size=100, test_size=40, normalization="batch", activation=activation,
            init_std=0.15, learning_rate=0.003, epochs=15,
        )  # fmt: skip
        training = Training(spec, larger, CPU)
        metrics = [training.run_epoch(lambda step, loss: None).metrics for _ in range(spec.epochs)]
        assert metrics[-1].train_accuracy > 0.9

    @pytest.mark.parametrize("fields", OPTIMIZED.values(), ids=OPTIMIZED)
    def test_every_optimizer_learns_and_resumes_bit_identically(self, larger, fields):
        """Every optimizer learns, and resumed from a checkpoint it ends the same, bit for bit."""
        spec = ExperimentSpec(
            dataset="digits", train_size=100, test_size=40, normalization="batch", init_std=0.15, epochs=15, **fields
        )
        training, resumed = Training(spec, larger, CPU), Training(spec, larger, CPU)
        records = [training.run_epoch(lambda step, loss: None) for _ in range(spec.epochs)]
        assert records[-1].metrics.train_accuracy > 0.9

        resumed.resume(unpack(records[7].checkpoint.content, records[7].checkpoint.sha256))
        while resumed.epochs_done < spec.epochs:
            last = resumed.run_epoch(lambda step, loss: None)
        assert last.checkpoint == records[-1].checkpoint

    @pytest.mark.parametrize(("network", "layers"), [(MIXED, 4), (RESIDUAL, 7)], ids=["mixed", "residual"])
    def test_custom_network_learns_and_resumes_bit_identically(self, larger, network, layers):
        """A network of every other layer learns, is captured, and resumes to the same bits."""
        spec = ExperimentSpec(
            dataset="digits", train_size=100, test_size=40, normalization="batch", network=network, learning_rate=0.003,
            epochs=12,
        )  # fmt: skip
        training, resumed = Training(spec, larger, CPU), Training(spec, larger, CPU)
        records = [training.run_epoch(lambda step, loss: None) for _ in range(spec.epochs)]
        assert records[-1].metrics.train_accuracy > 0.5
        captured = {layer for layer, quantity in records[-1].captures[0].histograms if quantity == "weight_gradient"}
        assert captured == set(range(1, layers + 1))

        resumed.resume(unpack(records[7].checkpoint.content, records[7].checkpoint.sha256))
        while resumed.epochs_done < spec.epochs:
            last = resumed.run_epoch(lambda step, loss: None)
        assert last.checkpoint == records[-1].checkpoint

    def test_batch_norm_on_digits_is_above_97_per_cent(self, tmp_path):
        """On UCI's digits batch normalization ends above 97 %, and every variant learns."""
        data = datasets.load("digits", data_dir=tmp_path, image_size=32, train_size=None, test_size=None)
        for variant in VARIANTS:
            spec = ExperimentSpec(dataset="digits", normalization=variant, capture_every=1000)
            training = Training(spec, data, CPU)
            records = [training.run_epoch(lambda step, loss: None) for _ in range(6)]
            # From chance, 10 %; batch and layer normalization learn most of it in the first epoch already.
            assert records[-1].metrics.train_accuracy > 0.1 + 0.3, variant
            if variant == "batch":
                assert records[-1].metrics.test_accuracy > 0.97
