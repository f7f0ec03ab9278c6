"""Box-Cox compared with scipy's, near λ = 0, and the 2018 notebook's gradient of λ."""

import numpy as np
import pytest
import torch
from scipy.special import boxcox1p

from normcore import BoxCox

X = torch.cat([torch.zeros(1), torch.logspace(-12, 2, 60)]).to(torch.float64)[:, None, None, None]
NEAR_ZERO = [sign * 10.0**power for power in (-300, -12, -9, -8, -7, -6, -5, -4, -3) for sign in (1, -1)]


def box_cox(lam, **options):
    return BoxCox(torch.tensor(lam, dtype=torch.float64), **options)


class TestForward:
    @pytest.mark.parametrize("lam", [2.0, 1.0, 0.5, -0.7, -2.0, 0.0, *NEAR_ZERO])
    def test_output_equals_scipys_boxcox1p(self, lam):
        """The output equals scipy's boxcox1p, near λ = 0 too."""
        np.testing.assert_allclose(box_cox(lam).forward(X)[0].numpy(), boxcox1p(X.numpy(), lam), rtol=1e-13)

    def test_lambda_one_is_the_identity_and_zero_the_logarithm(self):
        """At λ = 1 the transform is the identity, and at λ = 0 it is log(1 + x)."""
        torch.testing.assert_close(box_cox(1.0).forward(X)[0], X, rtol=1e-14, atol=0)
        assert torch.equal(box_cox(0.0).forward(X)[0], torch.log1p(X))

    def test_zero_stays_zero(self):
        """The transform of 0 is 0 at every λ."""
        for lam in (2.0, 0.0, -0.7):
            assert box_cox(lam).forward(torch.zeros(1, 1, 1, 1))[0].item() == 0

    def test_denominator_eps_is_in_the_denominator(self):
        """denominator_eps is added to the denominator."""
        out = box_cox(2.0, denominator_eps=0.5).forward(X)[0]
        torch.testing.assert_close(out, ((1 + X) ** 2 - 1) / 2.5, rtol=1e-3, atol=1e-11)
        torch.testing.assert_close(out * 2.5 / 2, box_cox(2.0).forward(X)[0], rtol=1e-14, atol=0)


class TestBackward:
    @pytest.mark.parametrize("lam", [2.0, 1.0, 0.5, -0.7, 0.0, *NEAR_ZERO])
    def test_lambdas_gradient_equals_an_uncancelled_integral(self, lam):
        """The gradient of λ equals an integral in which nothing cancels."""
        # d/dλ (e^(λu) − 1)/λ = ∫ s·e^(λs) ds from 0 to u; every term of its quadrature is positive.
        layer = box_cox(lam)
        nodes, weights = np.polynomial.legendre.leggauss(40)
        for x in X.split(1):
            u = np.log1p(x.item())
            s = u * (nodes + 1) / 2
            integral = (weights * s * np.exp(lam * s)).sum() * u / 2
            _, gradients = layer.backward(torch.ones_like(x), layer.forward(x)[1])
            assert gradients["lam"].item() == pytest.approx(integral, rel=1e-12, abs=0)

    @pytest.mark.parametrize("lam", [0.5, -0.5])
    def test_gradient_has_no_jump_between_series_and_formula(self, lam):
        """The gradient of λ is continuous where the series ends and the formula begins."""
        x = torch.full((1, 1, 1, 1), np.e - 1, dtype=torch.float64)  # u = 1, so λu = λ
        slopes = []
        for near in (np.nextafter(lam, 0), lam * (1 + 1e-15)):
            layer = box_cox(float(near))
            slopes.append(layer.backward(torch.ones_like(x), layer.forward(x)[1])[1]["lam"].item())
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-13)

    @pytest.mark.parametrize("lam", NEAR_ZERO)
    def test_near_lambda_zero_all_is_near_the_limit(self, lam):
        """Near λ = 0 outputs and gradients differ from the limit by no more than λ allows."""
        at_zero, near = box_cox(0.0), box_cox(lam)
        dout = torch.ones_like(X)
        (out0, cache0), (out, cache) = at_zero.forward(X), near.forward(X)
        (dx0, own0), (dx, own) = at_zero.backward(dout, cache0), near.backward(dout, cache)
        allowed = 5 * abs(lam) + 1e-14  # u ≤ log 101 < 5
        assert ((out - out0).abs() <= allowed * out0).all()
        assert ((dx - dx0).abs() <= allowed * dx0).all()
        assert abs(own["lam"] - own0["lam"]) <= allowed * own0["lam"]

    @pytest.mark.parametrize("denominator_eps", [0.0, 1e-8])
    def test_original_lambda_gradient_is_the_mean(self, denominator_eps):
        """The original protocol's gradient of λ is the true one divided by the number of elements."""
        x, dout = torch.rand(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)
        true = box_cox(2.0, denominator_eps=denominator_eps)
        mean = box_cox(2.0, denominator_eps=denominator_eps, lambda_gradient="mean")
        dx, gradients = true.backward(dout, true.forward(x)[1])

        mean_dx, mean_gradients = mean.backward(dout, mean.forward(x)[1])

        assert torch.equal(mean_dx, dx)
        assert mean_gradients["lam"].shape == ()
        assert mean_gradients["lam"].item() == pytest.approx(gradients["lam"].item() / 120, rel=1e-14)
