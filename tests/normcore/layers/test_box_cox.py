"""Box-Cox beside scipy's, near λ = 0, and the 2018 notebook's gradient of λ."""

import numpy as np
import pytest
import torch
from scipy.special import boxcox1p

from normcore import BoxCox

X = torch.cat([torch.zeros(1), torch.logspace(-12, 2, 60)]).to(torch.float64)[:, None, None, None]
NEAR_ZERO = [sign * 10.0**power for power in (-300, -12, -9, -8, -7, -6, -5, -4, -3) for sign in (1, -1)]


def box_cox(lam, **options):
    return BoxCox(torch.tensor(lam, dtype=torch.float64), **options)


@pytest.mark.parametrize("lam", [2.0, 1.0, 0.5, -0.7, -2.0, 0.0, *NEAR_ZERO])
def test_it_is_scipys_boxcox1p(lam):
    np.testing.assert_allclose(box_cox(lam).infer(X).numpy(), boxcox1p(X.numpy(), lam), rtol=1e-13)


def test_at_lambda_one_it_is_the_identity_and_at_zero_the_logarithm():
    torch.testing.assert_close(box_cox(1.0).infer(X), X, rtol=1e-14, atol=0)
    assert torch.equal(box_cox(0.0).infer(X), torch.log1p(X))


def test_nothing_stays_nothing():
    for lam in (2.0, 0.0, -0.7):
        assert box_cox(lam).infer(torch.zeros(1, 1, 1, 1)).item() == 0


@pytest.mark.parametrize("lam", [2.0, 1.0, 0.5, -0.7, 0.0, *NEAR_ZERO])
def test_lambdas_gradient_is_the_integral_that_nothing_cancels_in(lam):
    # d/dλ (e^(λu) − 1)/λ = ∫ s·e^(λs) ds from 0 to u; every term of its quadrature is positive.
    layer = box_cox(lam)
    nodes, shares = np.polynomial.legendre.leggauss(40)
    for x in X.split(1):
        u = np.log1p(x.item())
        s = u * (nodes + 1) / 2
        integral = (shares * s * np.exp(lam * s)).sum() * u / 2
        _, gradients = layer.backward(torch.ones_like(x), layer.forward(x)[1])
        assert gradients["lam"].item() == pytest.approx(integral, rel=1e-12, abs=0)


@pytest.mark.parametrize("lam", [0.5, -0.5])
def test_there_is_no_jump_where_the_series_hands_over_to_the_formula(lam):
    x = torch.full((1, 1, 1, 1), np.e - 1, dtype=torch.float64)  # u = 1, so λu = λ
    slopes = []
    for near in (np.nextafter(lam, 0), lam * (1 + 1e-15)):
        layer = box_cox(float(near))
        slopes.append(layer.backward(torch.ones_like(x), layer.forward(x)[1])[1]["lam"].item())
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-13)


@pytest.mark.parametrize("lam", NEAR_ZERO)
def test_near_lambda_zero_nothing_is_farther_from_the_limit_than_lambda_allows(lam):
    at_zero, near = box_cox(0.0), box_cox(lam)
    dout = torch.ones_like(X)
    (out0, cache0), (out, cache) = at_zero.forward(X), near.forward(X)
    (dx0, own0), (dx, own) = at_zero.backward(dout, cache0), near.backward(dout, cache)
    allowed = 5 * abs(lam) + 1e-14  # u ≤ log 101 < 5
    assert ((out - out0).abs() <= allowed * out0).all()
    assert ((dx - dx0).abs() <= allowed * dx0).all()
    assert abs(own["lam"] - own0["lam"]) <= allowed * own0["lam"]


def test_the_denominators_eps_is_in_the_denominator():
    out = box_cox(2.0, denominator_eps=0.5).infer(X)
    torch.testing.assert_close(out, ((1 + X) ** 2 - 1) / 2.5, rtol=1e-3, atol=1e-11)
    torch.testing.assert_close(out * 2.5 / 2, box_cox(2.0).infer(X), rtol=1e-14, atol=0)


@pytest.mark.parametrize("denominator_eps", [0.0, 1e-8])
def test_the_originals_lambda_gradient_is_the_sum_over_the_number_of_elements(denominator_eps):
    x, dout = torch.rand(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    true = box_cox(2.0, denominator_eps=denominator_eps)
    mean = box_cox(2.0, denominator_eps=denominator_eps, lambda_gradient="mean")
    dx, gradients = true.backward(dout, true.forward(x)[1])

    mean_dx, mean_gradients = mean.backward(dout, mean.forward(x)[1])

    assert torch.equal(mean_dx, dx)
    assert mean_gradients["lam"].shape == ()
    assert mean_gradients["lam"].item() == pytest.approx(gradients["lam"].item() / 120, rel=1e-14)
