"""Yeo-Johnson beside scipy, at its limits λ = 0 and λ = 2, and at sizes where a power would overflow or vanish."""

import pytest
import scipy.stats
import torch

from normcore import YeoJohnson
from tests.normcore.averages import exactly, randn


def layer_of(*exponents):
    return YeoJohnson(torch.tensor(exponents, dtype=torch.float64).view(1, -1, 1, 1))


@pytest.mark.parametrize("lam", [-1.0, 0.0, 0.5, 1.0, 1.7, 2.0, 3.0])
def test_it_is_scipys(lam):
    x = 3 * randn(4, 1, 5, 6)
    exactly(layer_of(lam).infer(x), torch.from_numpy(scipy.stats.yeojohnson(x.numpy(), lmbda=lam)))


def test_every_channel_has_its_own_exponent():
    x = randn(4, 3, 5, 6)
    together = layer_of(0.3, 1.0, 1.8).infer(x)
    for channel, lam in enumerate((0.3, 1.0, 1.8)):
        exactly(together[:, channel : channel + 1], layer_of(lam).infer(x[:, channel : channel + 1]))


@pytest.mark.parametrize("lam", [0.0, 1e-12, 1e-6, 2.0, 2 - 1e-12, 2 - 1e-6])
def test_its_gradients_near_the_limits_are_those_a_little_beside_them(lam):
    x, dout = randn(4, 1, 5, 6), randn(4, 1, 5, 6)
    ours, beside = (backward_of(layer_of(each), x, dout) for each in (lam, lam + 1e-5))
    for one, other in zip(ours, beside, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        assert one.isfinite().all()


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30])
def test_values_of_any_size_have_a_finite_transform_and_gradient(scale):
    x = scale * randn(4, 1, 5, 6)
    dx, dlam = backward_of(layer_of(1.0), x, randn(4, 1, 5, 6))
    exactly(layer_of(1.0).infer(x), x)
    assert dx.isfinite().all()
    assert dlam.isfinite().all()


def test_one_leaves_everything_as_it_is():
    x, dout = randn(4, 2, 5, 6), randn(4, 2, 5, 6)
    exactly(backward_of(layer_of(1.0, 1.0), x, dout)[0], dout)


def backward_of(layer, x, dout):
    dx, gradients = layer.backward(dout, layer.forward(x)[1])
    return dx, gradients["lam"]
