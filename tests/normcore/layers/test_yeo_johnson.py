"""Yeo-Johnson compared with scipy, at its limits λ = 0 and λ = 2, and at sizes where a power over- or underflows."""

import pytest
import scipy.stats
import torch

from normcore import YeoJohnson
from tests.normcore.averages import exactly, randn


def layer_of(*exponents):
    return YeoJohnson(torch.tensor(exponents, dtype=torch.float64).view(1, -1, 1, 1))


class TestYeoJohnson:
    @pytest.mark.parametrize("lam", [-1.0, 0.0, 0.5, 1.0, 1.7, 2.0, 3.0])
    def test_output_equals_scipys(self, lam):
        """The output equals scipy's, at the limits too."""
        x = 3 * randn(4, 1, 5, 6)
        exactly(layer_of(lam).forward(x)[0], torch.from_numpy(scipy.stats.yeojohnson(x.numpy(), lmbda=lam)))

    def test_each_channel_has_its_own_exponent(self):
        """Each channel is transformed by its own exponent."""
        x = randn(4, 3, 5, 6)
        together = layer_of(0.3, 1.0, 1.8).forward(x)[0]
        for channel, lam in enumerate((0.3, 1.0, 1.8)):
            exactly(together[:, channel : channel + 1], layer_of(lam).forward(x[:, channel : channel + 1])[0])

    @pytest.mark.parametrize("lam", [0.0, 1e-12, 1e-6, 2.0, 2 - 1e-12, 2 - 1e-6])
    def test_gradients_near_the_limits_are_continuous(self, lam):
        """Gradients at and near λ = 0 and λ = 2 equal those a little beside them."""
        x, dout = randn(4, 1, 5, 6), randn(4, 1, 5, 6)
        ours, near = (backward_of(layer_of(each), x, dout) for each in (lam, lam + 1e-5))
        for at_limit, beside in zip(ours, near, strict=True):
            torch.testing.assert_close(at_limit, beside, rtol=1e-3, atol=1e-4)
            assert at_limit.isfinite().all()

    @pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30])
    def test_values_of_any_size_are_finite(self, scale):
        """Values of any size have a finite transform and finite gradients."""
        x = scale * randn(4, 1, 5, 6)
        dx, dlam = backward_of(layer_of(1.0), x, randn(4, 1, 5, 6))
        exactly(layer_of(1.0).forward(x)[0], x)
        assert dx.isfinite().all()
        assert dlam.isfinite().all()

    def test_lambda_one_is_the_identity(self):
        """At λ = 1 dx is dout."""
        x, dout = randn(4, 2, 5, 6), randn(4, 2, 5, 6)
        exactly(backward_of(layer_of(1.0, 1.0), x, dout)[0], dout)


def backward_of(layer, x, dout):
    dx, gradients = layer.backward(dout, layer.forward(x)[1])
    return dx, gradients["lam"]
