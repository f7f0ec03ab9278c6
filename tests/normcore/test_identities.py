"""Identities of gradients that hold for all numbers."""

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

TINY = 1e-14  # an eps far below the variance, because the identities hold exactly for eps = 0


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


NORMALIZATIONS = {
    "batch": (lambda channels: BatchNorm(running(1, channels, 1, 1), TINY), (-4, -2, -1)),
    "layer": (lambda channels: LayerNorm(TINY), (-3, -2, -1)),
    "instance": (lambda channels: InstanceNorm(TINY), (-2, -1)),
}


class TestFilters:
    @pytest.mark.parametrize("variant", ["batch", "instance"])
    def test_filter_has_no_gradient_along_itself(self, variant):
        """A filter before a normalization of its own map has no gradient along itself."""
        convolution, norm = Convolution(randn(4, 3, 3, 3), stride=2), NORMALIZATIONS[variant][0](4)
        out, cache = convolution.forward(randn(5, 3, 8, 8))
        normalized, norm_cache = norm.forward(out)
        dout, _ = norm.backward(randn(*normalized.shape), norm_cache)
        dw = convolution.backward(dout, cache)[1]["weight"]
        assert dw.norm() > 0.1
        assert (dw * convolution.weight).sum((-3, -2, -1)).abs().max() < 1e-11

    def test_all_filters_together_have_none_before_layer_norm(self):
        """Before layer normalization only all filters together have no gradient along themselves."""
        convolution, norm = Convolution(randn(4, 3, 3, 3)), LayerNorm(TINY)
        out, cache = convolution.forward(randn(5, 3, 8, 8))
        dout, _ = norm.backward(randn(*out.shape), norm.forward(out)[1])
        along = (convolution.backward(dout, cache)[1]["weight"] * convolution.weight).sum((-3, -2, -1))
        assert along.abs().max() > 1e-3
        assert along.sum().abs() < 1e-11

    def test_standardized_weight_has_no_gradient_along_itself(self):
        """A standardized filter has no gradient along itself and none along its mean."""
        layer = WeightStandardized(Convolution(randn(4, 3, 3, 3)), TINY)
        out, cache = layer.forward(randn(5, 3, 8, 8))
        dw = layer.backward(randn(*out.shape), cache)[1]["weight"]
        assert dw.norm() > 0.1
        assert dw.sum((-3, -2, -1)).abs().max() < 1e-11
        assert (dw * layer.convolution.weight).sum((-3, -2, -1)).abs().max() < 1e-11


class TestNormalizations:
    @pytest.mark.parametrize(("make", "axes"), NORMALIZATIONS.values(), ids=NORMALIZATIONS)
    def test_dx_sums_to_zero_alone_and_times_the_output(self, make, axes):
        """A normalization's dx sums to 0 over its axes, alone and multiplied by the output."""
        layer = make(3)
        out, cache = layer.forward(3 * randn(4, 3, 6, 5) + 2)
        dx, _ = layer.backward(randn(4, 3, 6, 5), cache)
        assert dx.abs().max() > 0.1
        assert dx.sum(axes).abs().max() < 1e-12
        assert (dx * out).sum(axes).abs().max() < 1e-12

    @pytest.mark.parametrize(("make", "axes"), NORMALIZATIONS.values(), ids=NORMALIZATIONS)
    def test_gradient_along_mean_or_output_is_removed(self, make, axes):
        """A dout that is constant or the output itself gives a dx of 0."""
        layer = make(3)
        out, cache = layer.forward(randn(4, 3, 6, 5))
        for dout in (torch.ones_like(out), out):
            assert layer.backward(dout, cache)[0].abs().max() < 1e-12

    @pytest.mark.parametrize(("make", "axes"), NORMALIZATIONS.values(), ids=NORMALIZATIONS)
    def test_scaled_input_has_the_same_output(self, make, axes):
        """A scaled input has the same output, and dx is divided by the scale."""
        layer, x, dout = make(3), randn(4, 3, 6, 5), randn(4, 3, 6, 5)
        (out, cache), (scaled_out, scaled_cache) = layer.forward(x), layer.forward(10 * x)
        torch.testing.assert_close(scaled_out, out, rtol=1e-10, atol=1e-12)
        dx, scaled_dx = (layer.backward(dout, each)[0] for each in (cache, scaled_cache))
        torch.testing.assert_close(10 * scaled_dx, dx, rtol=1e-10, atol=1e-12)

    def test_group_norms_dx_sums_to_zero_over_each_group(self):
        """A group normalization's dx sums to 0 over each group, alone and multiplied by the output."""
        layer = GroupNorm(2, TINY)
        out, cache = layer.forward(3 * randn(4, 6, 5, 5) + 2)
        dx, _ = layer.backward(randn(4, 6, 5, 5), cache)
        for sums in (dx, dx * out):
            assert sums.view(4, 2, 3, 5, 5).sum((2, 3, 4)).abs().max() < 1e-12

    @pytest.mark.parametrize("groups", [1, 6])
    def test_one_group_is_layer_and_c_groups_are_instance(self, groups):
        """One group is layer normalization, and C groups are instance normalization."""
        x, dout = randn(4, 6, 5, 5), randn(4, 6, 5, 5)
        group, same = GroupNorm(groups, 0.1), LayerNorm(0.1) if groups == 1 else InstanceNorm(0.1)
        (out, cache), (expected, expected_cache) = group.forward(x), same.forward(x)
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-13)
        dx, expected_dx = group.backward(dout, cache)[0], same.backward(dout, expected_cache)[0]
        torch.testing.assert_close(dx, expected_dx, rtol=1e-12, atol=1e-13)

    @pytest.mark.parametrize("axes", [(-3, -2, -1), (-2, -1)])
    def test_rms_norms_dx_has_no_part_along_its_output(self, axes):
        """An RMS normalization's dx times the output sums to 0; dx alone does not."""
        layer = RMSNorm(axes, TINY)
        out, cache = layer.forward(randn(4, 6, 5, 5) + 2)
        dx, _ = layer.backward(randn(4, 6, 5, 5), cache)
        assert dx.sum(axes).abs().max() > 0.1  # no mean is subtracted, so dx has one
        assert (dx * out).sum(axes).abs().max() < 1e-12

    def test_map_of_one_position_has_no_gradient(self):
        """A map of one position has an output and a dx of 0 in instance normalization."""
        layer = InstanceNorm()
        out, cache = layer.forward(randn(4, 3, 1, 1))
        dx, _ = layer.backward(randn(4, 3, 1, 1), cache)
        assert torch.equal(out, torch.zeros_like(out))
        assert torch.equal(dx, torch.zeros_like(dx))


class TestCrossEntropy:
    def test_each_row_of_the_gradient_sums_to_zero(self):
        """Each row of the gradient with respect to the logits sums to 0."""
        _, dlogits = cross_entropy(randn(7, 10), torch.arange(7))
        assert dlogits.abs().sum() > 0.1
        assert dlogits.sum(1).abs().max() < 1e-15

    def test_equal_logits_lose_the_logarithm_of_the_classes(self):
        """Equal logits have a loss of log(classes)."""
        loss, dlogits = cross_entropy(torch.full((2, 10), 3.0, dtype=torch.float64), torch.tensor([0, 9]))
        assert loss.item() == pytest.approx(2.302585092994046, rel=1e-14)
        assert dlogits[0].tolist() == pytest.approx([-0.45] + [0.05] * 9, rel=1e-14)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_logits_of_ten_thousand_do_not_overflow(self, dtype):
        """Logits of 10,000 have a finite loss and gradient."""
        logits = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], dtype=dtype)
        loss, dlogits = cross_entropy(logits, torch.tensor([0, 1]))
        assert loss.item() == 1e4  # the mean of 0 and 20,000
        assert dlogits.tolist() == [[0, 0, 0], [0.5, -0.5, 0]]
