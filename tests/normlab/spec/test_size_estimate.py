"""What is estimated of a spec, held against what a worker makes of it."""

import pytest
import torch

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.size_estimate import estimate
from worker.training.build_network import build_network
from worker.training.build_optimizer import build_optimizer
from worker.training.checkpoints import pack, state_of


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("fields", [{"normalization": "batch", "affine": True}, {"normalization": "box_cox"},
    {"normalization": "layer", "protocol": "original"}, {"normalization": "instance", "protocol": "original"},
])  # fmt: skip
def test_a_checkpoint_is_as_large_as_estimated_but_for_names_and_statistics_of_channels(optimizer, fields):
    spec = ExperimentSpec(dataset="digits", optimizer=optimizer, batch_size=1000, **fields)
    network = build_network(spec, torch.device("cpu"))
    stored = pack(state_of(network, build_optimizer(spec, network.parameters(), steps_per_epoch=1)))
    assert 0 < len(stored.content) - estimate(spec).checkpoint_bytes < 10_000


def test_a_test_passes_batch_of_large_images_counts_more_than_a_training_batch_of_one():
    spec = ExperimentSpec(dataset="digits", image_size=320, train_size=8, batch_size=1, epochs=2)
    largest = 2 * 16 * 160**2  # into the first activation and out of it
    assert estimate(spec).activation_bytes == 4 * 359 * largest
    assert estimate(spec.model_copy(update={"test_size": 10})).activation_bytes == 4 * 10 * largest
    assert estimate(spec.model_copy(update={"test_size": 1})).activation_bytes > 4 * largest
