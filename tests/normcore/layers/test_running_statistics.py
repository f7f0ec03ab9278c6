"""The statistics that normalizations average over batches, and their use at test time."""

import pytest
import torch

from normcore import BatchNorm, InstanceNorm, LayerNorm
from tests.normcore.averages import EPS, exactly, randn, running, slots


class TestTraining:
    @pytest.mark.parametrize("start", [0.0, 1.0])
    def test_batch_norm_averages_mean_and_biased_variance(self, start):
        """Batch normalization averages the mean and the biased variance with momentum, and uses them at test time."""
        layer = BatchNorm(running(1, 2, 1, 1, var=start), EPS)
        first, second = 2 * randn(4, 2, 3, 3) + 1, 3 * randn(4, 2, 3, 3) - 1
        mean, var = torch.zeros(2, dtype=torch.float64), torch.full((2,), start, dtype=torch.float64)
        for x in (first, second):
            layer.forward(x)
            mean = 0.9 * mean + 0.1 * x.mean((0, 2, 3))
            var = 0.9 * var + 0.1 * x.var((0, 2, 3), correction=0)

        assert layer.buffers()["running_mean"].shape == layer.buffers()["running_var"].shape == (1, 2, 1, 1)
        exactly(layer.running.mean.flatten(), mean)
        exactly(layer.running.var.flatten(), var)
        image = randn(1, 2, 3, 3)
        exactly(
            layer.for_inference().forward(image)[0],
            (image - mean.view(1, 2, 1, 1)) / (var.view(1, 2, 1, 1) + EPS).sqrt(),
        )

    def test_batch_norm_uses_the_batch_in_training(self):
        """In training batch normalization uses the batch's own statistics."""
        layer = BatchNorm(running(1, 2, 1, 1), EPS)
        x = 2 * randn(4, 2, 3, 3) + 1
        for _ in range(2):
            out, _ = layer.forward(x)
            assert out.mean((0, 2, 3)).abs().max() < 1e-12
            var = x.var((0, 2, 3), correction=0)
            exactly(out.square().mean((0, 2, 3)), var / (var + EPS))


class TestTestTime:
    def test_output_is_independent_of_the_other_images(self):
        """At test time an image has the same output in any batch."""
        layer = BatchNorm(running(1, 2, 1, 1), EPS)
        layer.forward(randn(4, 2, 3, 3))
        x = randn(7, 2, 3, 3)
        fixed = layer.for_inference()
        exactly(fixed.forward(x)[0][2:3], fixed.forward(x[2:3])[0])

    @pytest.mark.parametrize(
        "layer",
        [BatchNorm(running(1, 2, 1, 1), EPS), LayerNorm(EPS, slots(4, 1, 1, 1)), InstanceNorm(EPS, slots(4, 2, 1, 1))],
        ids=["batch", "layer by slot", "instance by slot"],
    )
    def test_forward_changes_no_statistic(self, layer):
        """The forward pass of test time does not change the running statistics."""
        layer.forward(randn(4, 2, 3, 3))
        before = {name: buffer.clone() for name, buffer in layer.buffers().items()}
        layer.for_inference().forward(randn(4, 2, 3, 3))
        assert len(before) == 2
        assert all(torch.equal(buffer, before[name]) for name, buffer in layer.buffers().items())

    @pytest.mark.parametrize("layer", [LayerNorm(EPS), InstanceNorm(EPS)])
    def test_without_slots_an_image_normalizes_itself(self, layer):
        """Without slots layer and instance normalization are the same at test time."""
        x = randn(3, 2, 4, 4)
        assert layer.for_inference() is layer
        assert torch.equal(layer.forward(x[1:2])[0], layer.forward(x)[0][1:2])
        assert layer.buffers() == {}
