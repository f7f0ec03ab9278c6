"""The number of threads of a training, and the estimate of a step that it follows from."""

import pytest
import torch

from normlab.spec.experiment import ExperimentSpec
from worker.training import threads
from worker.training.nominal_time import step_seconds
from worker.training.threads import use_threads


@pytest.fixture(autouse=True)
def threads_restored():
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)


def layers_of(**fields):
    return ExperimentSpec(**fields).layer_shapes()


class TestStepSeconds:
    def test_grows_with_the_batch_and_the_layers(self):
        """The estimate of the study's step is of the measured size, and grows with images and normalizations."""
        plain, batch = layers_of(), layers_of(normalization="batch")
        assert 0.005 < step_seconds(plain, 20) < step_seconds(batch, 20) < 0.03
        assert 5 < step_seconds(batch, 256) / step_seconds(batch, 20) < 13


class TestUseThreads:
    @pytest.fixture(autouse=True)
    def four_cores(self, monkeypatch):
        monkeypatch.setattr(threads, "MAX_THREADS", 4)

    def test_small_steps_use_one(self):
        """The study's steps of 20 images use one thread, larger ones as many as they are worth, and at most all."""
        layers = layers_of(normalization="batch")
        assert [use_threads(layers, batch, None) for batch in (20, 60, 120, 256, 4096)] == [1, 1, 2, 4, 4]
        assert torch.get_num_threads() == 4

    def test_resumed_training_keeps_its_number(self):
        """A training keeps the number that it began with, unless the machine has fewer cores."""
        layers = layers_of()
        assert [use_threads(layers, 20, {"threads": number}) for number in (1, 3, 16)] == [1, 3, 4]
