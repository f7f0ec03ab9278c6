"""Training: paired seeds, initial weights, and that everything learns."""

import math
from contextlib import nullcontext
from typing import get_args

import pytest
import torch

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import Activation
from tests.factories import MIXED, RESIDUAL
from tests.worker.training.trainings import CPU, SMALL, VARIANTS
from worker import datasets
from worker.errors import InvalidExperiment
from worker.training.build_network import build_network
from worker.training.checkpoints import unpack
from worker.training.training import Training


class TestRefusal:
    @pytest.mark.parametrize(("images", "refused"), [(40, False), (41, True), (42, False)])
    def test_last_batch_of_one_image(self, tmp_path, images, refused):
        """A folder whose last batch has one image is refused by the worker, with the layer and its shape."""
        data = datasets.load("digits", data_dir=tmp_path, image_size=8, train_size=images, test_size=20)
        spec = ExperimentSpec(dataset="folder", folder="photos", image_size=8, normalization="batch")
        message = f"with {images} training images: layer 3: batch normalization of 16×1×1 has a batch of one image"
        with pytest.raises(InvalidExperiment, match=message) if refused else nullcontext():
            Training(spec, data, CPU)


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
            dataset="digits", train_size=100, test_size=40, normalization="batch" if network is RESIDUAL else "none",
            network=network, learning_rate=0.003, epochs=12,
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
