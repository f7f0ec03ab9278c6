"""What normalizations average over batches, and what they do at test time."""

import pytest
import torch

from normcore import BatchNorm, InstanceNorm, LayerNorm
from tests.normcore.study_network import EPS, running


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def exactly(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


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


# A new slotted normalization is one row: the layer with four slots for N 2 H W, and the axes it averages.
SLOTTED = {
    "layer": (lambda: LayerNorm(EPS, running(4, 1, 1, 1)), (1, 2, 3)),
    "instance": (lambda: InstanceNorm(EPS, running(4, 2, 1, 1)), (2, 3)),
}


@pytest.fixture(params=SLOTTED.values(), ids=SLOTTED)
def slotted(request):
    make, axes = request.param
    return make(), axes


def test_slots_average_what_their_own_places_held(slotted):
    layer, axes = slotted
    first, second = randn(4, 2, 3, 3), 2 * randn(4, 2, 3, 3) + 1
    layer.forward(first)
    layer.forward(second)
    exactly(layer.slots.mean, 0.09 * first.mean(axes, keepdim=True) + 0.1 * second.mean(axes, keepdim=True))
    var = [x.var(axes, correction=0, keepdim=True) for x in (first, second)]
    exactly(layer.slots.var, 0.09 * var[0] + 0.1 * var[1])


def test_a_short_batch_moves_the_first_slots_alone(slotted):
    layer, axes = slotted
    layer.forward(randn(4, 2, 3, 3))
    before = {name: buffer.clone() for name, buffer in layer.buffers().items()}
    short = randn(3, 2, 3, 3)

    layer.forward(short)

    for name, buffer in layer.buffers().items():
        assert torch.equal(buffer[3:], before[name][3:])
        assert not torch.isclose(buffer[:3], before[name][:3]).any()
    exactly(layer.slots.mean[:3], 0.9 * before["running_mean"][:3] + 0.1 * short.mean(axes, keepdim=True))


def test_at_test_time_an_image_is_normalized_by_its_slot_and_not_by_itself(slotted):
    layer, _ = slotted
    layer.forward(randn(4, 2, 3, 3))
    image = randn(1, 2, 3, 3)
    out = layer.infer(image.expand(4, 2, 3, 3))
    exactly(out, (image - layer.slots.mean) / (layer.slots.var + EPS).sqrt())
    assert not torch.allclose(out[0], out[3])
    assert torch.equal(layer.infer(image.expand(2, 2, 3, 3)), out[:2])


def test_slots_are_not_used_in_training(slotted):
    layer, axes = slotted
    layer.forward(randn(4, 2, 3, 3))
    out, _ = layer.forward(5 * randn(4, 2, 3, 3) + 3)
    assert out.mean(axes).abs().max() < 1e-12


def test_more_images_than_slots_are_refused(slotted):
    layer, _ = slotted
    with pytest.raises(ValueError, match="4 slots cannot normalize 5 images"):
        layer.infer(randn(5, 2, 3, 3))


@pytest.mark.parametrize("make", [lambda: BatchNorm(running(1, 2, 1, 1), EPS), *(make for make, _ in SLOTTED.values())])
def test_the_test_pass_moves_nothing(make):
    layer = make()
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
