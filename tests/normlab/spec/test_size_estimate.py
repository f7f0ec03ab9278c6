"""The estimated size of an experiment, compared with what a worker stores and computes."""

import pytest
import torch

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.size_estimate import estimate
from worker.training.build_network import build_network
from worker.training.build_optimizer import build_optimizer
from worker.training.checkpoints import pack, state_of


class TestEstimate:
    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    @pytest.mark.parametrize("fields", [{"normalization": "batch", "affine": True}, {"normalization": "box_cox"},
        {"normalization": "layer", "protocol": "original"}, {"normalization": "instance", "protocol": "original"},
    ])  # fmt: skip
    def test_checkpoint_has_the_estimated_size(self, optimizer, fields):
        """A checkpoint is larger than estimated only by its names and the statistics of channels."""
        spec = ExperimentSpec(dataset="digits", optimizer=optimizer, batch_size=1000, **fields)
        network = build_network(spec, torch.device("cpu"))
        checkpoint = pack(state_of(network, build_optimizer(spec, network.parameters(), steps_per_epoch=1)))
        assert 0 < len(checkpoint.content) - estimate(spec).checkpoint_bytes < 10_000

    def test_test_batch_counts_if_it_is_the_largest(self):
        """Where a test batch needs more memory than a training batch, the estimate is that of the test batch."""
        spec = ExperimentSpec(dataset="digits", image_size=320, train_size=8, batch_size=1, epochs=2)
        largest = 2 * 16 * 160**2  # the input and output of the first activation
        assert estimate(spec).activation_bytes == 4 * 359 * largest
        assert estimate(spec.model_copy(update={"test_size": 10})).activation_bytes == 4 * 10 * largest
        assert estimate(spec.model_copy(update={"test_size": 1})).activation_bytes > 4 * largest
