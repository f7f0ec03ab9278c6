"""Values so large that a part of a formula overflows: the result is right where it is finite, and otherwise NaN."""

import math

import pytest
import torch

from normcore import BatchNorm, BoxCox, GroupNorm, InstanceNorm, LayerNorm, RMSNorm, YeoJohnson, cross_entropy
from normcore.layers.exprel import exponential, exprel, exprel_derivative
from normcore.layers.range_norm import RangeNorm
from normcore.layers.running_statistics import RunningStatistics


def gradients_of_power(x, lam, dout):
    """The output and the gradients of the power transform by its closed form, in float64."""
    u = math.log1p(x)
    power = math.exp(lam * u)
    return (power - 1) / lam, dout * math.exp((lam - 1) * u), dout * ((lam * u - 1) * power + 1) / lam**2


class TestPowerTransforms:
    @pytest.mark.parametrize(
        ("x", "lam"), [(1e8, 4.7), (1e8, 4.86), (1e30, 1.285), (1e3, 12.9), (1e8, 4.0), (5.0, 2.0)]
    )
    @pytest.mark.parametrize("kind", ["box_cox", "yeo_johnson", "box_cox with eps"])
    def test_are_finite_where_the_true_value_is(self, x, lam, kind):
        """Output and gradients in float32 equal the closed form in float64 where a product in between overflows."""
        dout, values = 1e-30, torch.full((1, 1, 1, 1), x)
        if kind == "yeo_johnson":
            layer = YeoJohnson(torch.tensor([[[[lam]]]]))
        else:
            layer = BoxCox(torch.tensor(lam), denominator_eps=1e-8 if "eps" in kind else 0.0)
        out, cache = layer.forward(values)
        dx, gradients = layer.backward(torch.full_like(values, dout), cache)
        expected = gradients_of_power(x, lam, dout)
        # float32's exponent has an error of z · 6e-8, and e^z that relative error.
        assert (float(out), float(dx), float(gradients["lam"])) == pytest.approx(expected, rel=1e-4)

    def test_do_not_change_a_bit_of_ordinary_values(self):
        """Up to the exponent 80 the quotients have the bits of their plain formulas."""
        z = torch.cat([torch.linspace(-100, 80, 20_001), torch.randn(20_000)])
        plain = {
            exponential: torch.exp(z),
            exprel: torch.expm1(z) / z,
            exprel_derivative: (z * torch.exp(z) - torch.expm1(z)) / (z * z),
        }
        for quotient, expected in plain.items():
            scaled, factor = quotient(z)
            assert torch.equal(factor, torch.ones_like(z))
            away = (z.abs() >= 0.5) if quotient is exprel_derivative else (z != 0)
            assert torch.equal(scaled[away], expected[away])


class TestNormalizations:
    @pytest.mark.parametrize(
        "layer",
        [
            BatchNorm(RunningStatistics(torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1), momentum=0.9)),
            LayerNorm(), InstanceNorm(), GroupNorm(2), RMSNorm(), RMSNorm((-2, -1)),
            RangeNorm(torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)),
        ],
        ids=["batch", "layer", "instance", "group", "rms", "rms of a map", "range"],
    )  # fmt: skip
    def test_overflow_is_nan_and_not_zero(self, layer):
        """Statistics that overflow give NaN, which ends a training, and not the zeros of an input without variance."""
        x = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(1))
        assert layer.forward(1e15 * x)[0].isfinite().all()
        assert layer.forward(3e38 * x.sign())[0].isnan().all()


class TestCrossEntropy:
    def test_mean_of_large_losses_is_finite(self):
        """The mean of losses whose sum overflows is finite."""
        logits = torch.zeros(20, 10)
        logits[:, 0] = 1e38
        loss, dlogits = cross_entropy(logits, torch.full((20,), 3))
        assert float(loss) == pytest.approx(1e38)
        assert dlogits.isfinite().all()

    def test_mean_of_ordinary_losses_keeps_its_bits(self):
        """The mean has the bits of the plain mean."""
        logits = 5 * torch.randn(23, 10, generator=torch.Generator().manual_seed(1))
        labels = torch.arange(23) % 10
        plain = -torch.log_softmax(logits, -1).gather(-1, labels[:, None]).squeeze(-1).mean(-1)
        assert torch.equal(cross_entropy(logits, labels)[0], plain)
