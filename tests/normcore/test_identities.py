"""What must hold of gradients whatever the numbers are."""

import pytest
import torch

from normcore import (
    BatchNorm,
    Convolution,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    RMSNorm,
    WeightStandardized,
    cross_entropy,
)
from tests.normcore.averages import running

TINY = 1e-14  # beside a variance near 1: the identities hold but for eps


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


NORMALIZATIONS = {
    "batch": (lambda channels: BatchNorm(running(1, channels, 1, 1), TINY), (0, 2, 3)),
    "layer": (lambda channels: LayerNorm(TINY), (1, 2, 3)),
    "instance": (lambda channels: InstanceNorm(TINY), (2, 3)),
}


@pytest.mark.parametrize(("make", "axes"), NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_what_a_normalization_passes_back_sums_to_zero_alone_and_times_its_output(make, axes):
    layer = make(3)
    out, cache = layer.forward(3 * randn(4, 3, 6, 5) + 2)
    dx, _ = layer.backward(randn(4, 3, 6, 5), cache)
    assert dx.abs().max() > 0.1
    assert dx.sum(axes).abs().max() < 1e-12
    assert (dx * out).sum(axes).abs().max() < 1e-12


@pytest.mark.parametrize(("make", "axes"), NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_a_gradient_of_the_mean_or_of_the_output_itself_is_not_passed_back_at_all(make, axes):
    layer = make(3)
    out, cache = layer.forward(randn(4, 3, 6, 5))
    for dout in (torch.ones_like(out), out):
        assert layer.backward(dout, cache)[0].abs().max() < 1e-12


@pytest.mark.parametrize("variant", ["batch", "instance"])
def test_every_filter_before_a_normalization_of_its_own_map_has_no_gradient_along_itself(variant):
    convolution, norm = Convolution(randn(4, 3, 3, 3), stride=2), NORMALIZATIONS[variant][0](4)
    out, cache = convolution.forward(randn(5, 3, 8, 8))
    normalized, norm_cache = norm.forward(out)
    dout, _ = norm.backward(randn(*normalized.shape), norm_cache)
    dw = convolution.backward(dout, cache)[1]["weight"]
    assert dw.norm() > 0.1
    assert (dw * convolution.weight).sum((1, 2, 3)).abs().max() < 1e-11


def test_before_a_layer_norm_only_all_filters_together_have_no_gradient_along_themselves():
    convolution, norm = Convolution(randn(4, 3, 3, 3)), LayerNorm(TINY)
    out, cache = convolution.forward(randn(5, 3, 8, 8))
    dout, _ = norm.backward(randn(*out.shape), norm.forward(out)[1])
    along = (convolution.backward(dout, cache)[1]["weight"] * convolution.weight).sum((1, 2, 3))
    assert along.abs().max() > 1e-3
    assert along.sum().abs() < 1e-11


@pytest.mark.parametrize(("make", "axes"), NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_scaling_the_input_leaves_the_output_and_divides_the_passed_gradient(make, axes):
    layer, x, dout = make(3), randn(4, 3, 6, 5), randn(4, 3, 6, 5)
    (out, cache), (scaled_out, scaled_cache) = layer.forward(x), layer.forward(10 * x)
    torch.testing.assert_close(scaled_out, out, rtol=1e-10, atol=1e-12)
    dx, scaled_dx = (layer.backward(dout, each)[0] for each in (cache, scaled_cache))
    torch.testing.assert_close(10 * scaled_dx, dx, rtol=1e-10, atol=1e-12)


def test_what_a_group_norm_passes_back_sums_to_zero_over_each_group():
    layer = GroupNorm(2, TINY)
    out, cache = layer.forward(3 * randn(4, 6, 5, 5) + 2)
    dx, _ = layer.backward(randn(4, 6, 5, 5), cache)
    for sums in (dx, dx * out):
        assert sums.view(4, 2, 3, 5, 5).sum((2, 3, 4)).abs().max() < 1e-12


@pytest.mark.parametrize("groups", [1, 6])
def test_one_group_is_layer_and_a_group_a_channel_is_instance_normalization(groups):
    x, dout = randn(4, 6, 5, 5), randn(4, 6, 5, 5)
    group, same = GroupNorm(groups, 0.1), LayerNorm(0.1) if groups == 1 else InstanceNorm(0.1)
    (out, cache), (expected, expected_cache) = group.forward(x), same.forward(x)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-13)
    dx, expected_dx = group.backward(dout, cache)[0], same.backward(dout, expected_cache)[0]
    torch.testing.assert_close(dx, expected_dx, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("axes", [(1, 2, 3), (2, 3)])
def test_what_an_rms_norm_passes_back_has_nothing_along_its_output(axes):
    layer = RMSNorm(axes, TINY)
    out, cache = layer.forward(randn(4, 6, 5, 5) + 2)
    dx, _ = layer.backward(randn(4, 6, 5, 5), cache)
    assert dx.sum(axes).abs().max() > 0.1  # no mean is subtracted, so no mean is passed back
    assert (dx * out).sum(axes).abs().max() < 1e-12


def test_a_standardized_weight_has_no_gradient_along_itself_nor_along_its_mean():
    layer = WeightStandardized(Convolution(randn(4, 3, 3, 3)), TINY)
    out, cache = layer.forward(randn(5, 3, 8, 8))
    dw = layer.backward(randn(*out.shape), cache)[1]["weight"]
    assert dw.norm() > 0.1
    assert dw.sum((1, 2, 3)).abs().max() < 1e-11
    assert (dw * layer.convolution.weight).sum((1, 2, 3)).abs().max() < 1e-11


def test_a_map_of_one_position_passes_nothing_back_through_an_instance_norm():
    layer = InstanceNorm()
    out, cache = layer.forward(randn(4, 3, 1, 1))
    dx, _ = layer.backward(randn(4, 3, 1, 1), cache)
    assert torch.equal(out, torch.zeros_like(out))
    assert torch.equal(dx, torch.zeros_like(dx))


def test_every_row_of_cross_entropys_gradient_sums_to_zero():
    _, dlogits = cross_entropy(randn(7, 10), torch.arange(7))
    assert dlogits.abs().sum() > 0.1
    assert dlogits.sum(1).abs().max() < 1e-15


def test_equal_scores_lose_the_logarithm_of_the_number_of_classes():
    loss, dlogits = cross_entropy(torch.full((2, 10), 3.0, dtype=torch.float64), torch.tensor([0, 9]))
    assert loss.item() == pytest.approx(2.302585092994046, rel=1e-14)
    assert dlogits[0].tolist() == pytest.approx([-0.45] + [0.05] * 9, rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_of_scores_of_ten_thousand_does_not_overflow(dtype):
    logits = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], dtype=dtype)
    loss, dlogits = cross_entropy(logits, torch.tensor([0, 1]))
    assert loss.item() == 1e4  # the mean of 0 and 20,000
    assert dlogits.tolist() == [[0, 0, 0], [0.5, -0.5, 0]]
