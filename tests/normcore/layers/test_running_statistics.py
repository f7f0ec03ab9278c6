"""What normalizations average over batches, and what they do at test time."""

import pytest
import torch

from normcore import BatchNorm, InstanceNorm, LayerNorm
from tests.normcore.averages import EPS, exactly, randn, running, slots


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_batch_norm_averages_mean_and_biased_variance_with_momentum_and_uses_them_at_test_time(start):
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
    exactly(layer.infer(image), (image - mean.view(1, 2, 1, 1)) / (var.view(1, 2, 1, 1) + EPS).sqrt())


def test_batch_norm_in_training_uses_the_batch_and_not_the_averages():
    layer = BatchNorm(running(1, 2, 1, 1), EPS)
    x = 2 * randn(4, 2, 3, 3) + 1
    for _ in range(2):
        out, _ = layer.forward(x)
        assert out.mean((0, 2, 3)).abs().max() < 1e-12
        var = x.var((0, 2, 3), correction=0)
        exactly(out.square().mean((0, 2, 3)), var / (var + EPS))


def test_batch_norm_at_test_time_gives_an_image_the_same_output_in_any_company():
    layer = BatchNorm(running(1, 2, 1, 1), EPS)
    layer.forward(randn(4, 2, 3, 3))
    x = randn(7, 2, 3, 3)
    exactly(layer.infer(x)[2:3], layer.infer(x[2:3]))


@pytest.mark.parametrize(
    "layer",
    [BatchNorm(running(1, 2, 1, 1), EPS), LayerNorm(EPS, slots(4, 1, 1, 1)), InstanceNorm(EPS, slots(4, 2, 1, 1))],
    ids=["batch", "layer by slot", "instance by slot"],
)
def test_the_test_pass_moves_nothing(layer):
    layer.forward(randn(4, 2, 3, 3))
    before = {name: buffer.clone() for name, buffer in layer.buffers().items()}
    layer.infer(randn(4, 2, 3, 3))
    assert len(before) == 2
    assert all(torch.equal(buffer, before[name]) for name, buffer in layer.buffers().items())


@pytest.mark.parametrize("layer", [LayerNorm(EPS), InstanceNorm(EPS)])
def test_without_slots_a_sample_is_normalized_by_itself_at_test_time_too(layer):
    x = randn(3, 2, 4, 4)
    assert torch.equal(layer.infer(x), layer.forward(x)[0])
    assert torch.equal(layer.infer(x[1:2]), layer.infer(x)[1:2])
    assert layer.buffers() == {}
