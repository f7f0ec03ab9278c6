"""Inputs on which normalizations often fail: no variance, nothing positive, one pixel, one image, extreme sizes."""

import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from scipy.special import boxcox1p

from normcore import (
    Activation,
    BatchNorm,
    BoxCox,
    Convolution,
    DynamicTanh,
    GlobalAveragePool,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Network,
    RangeNorm,
    ReLU,
    RMSNorm,
    WeightStandardized,
    YeoJohnson,
    cross_entropy,
)
from normcore.layers.layer import buffers_of, parameters_of
from tests.normcore.averages import averages, randn, running
from tests.normcore.test_gradients import ranged, standardized, yeo_johnson

EPS = 1e-8
STANDARDIZING = {
    "batch": (BatchNorm(running(1, 4, 1, 1), EPS), (-4, -2, -1)),
    "layer": (LayerNorm(EPS), (-3, -2, -1)),
    "instance": (InstanceNorm(EPS), (-2, -1)),
}
NORMALIZATIONS = {
    **{name: (layer, standardized(axes, EPS)) for name, (layer, axes) in STANDARDIZING.items()},
    "group": (GroupNorm(2, EPS), lambda x: F.group_norm(x, 2, eps=EPS)),
    "rms": (RMSNorm(eps=EPS), lambda x: x / (x.square().mean((-3, -2, -1), keepdim=True) + EPS).sqrt()),
    "rms of a map": (RMSNorm((-2, -1), EPS), lambda x: x / (x.square().mean((-2, -1), keepdim=True) + EPS).sqrt()),
    "range": (RangeNorm(*averages(1, 4, 1, 1)), ranged),
}


class TestDeadReLU:
    @pytest.mark.parametrize("name", ["none", *NORMALIZATIONS])
    def test_dead_relu_stops_every_gradient_without_nan(self, name):
        """If no value passes the ReLU, every gradient is 0 and none is NaN."""
        normalization = [] if name == "none" else [NORMALIZATIONS[name][0]]
        weights = -torch.ones(4, 3, 3, 3, dtype=torch.float64), randn(10, 4, 3, 3)
        network = Network(
            [Convolution(weights[0]), ReLU(), *normalization, Convolution(weights[1]), GlobalAveragePool()]
        )
        x, labels = torch.rand(2, 3, 8, 8, dtype=torch.float64), torch.tensor([1, 2])
        loss, _, gradients = network.gradients(x, labels)
        assert loss.item() == pytest.approx(math.log(10))  # every logit is 0
        assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients.values())


class TestNoVariance:
    @pytest.mark.parametrize("name", STANDARDIZING)
    def test_constant_input_becomes_zero(self, name):
        """A constant input becomes 0, and its gradient only loses its mean."""
        layer, axes = STANDARDIZING[name]
        x, dout = torch.full((2, 4, 4, 2), -0.75, dtype=torch.float64), randn(2, 4, 4, 2)
        out, cache = layer.forward(x)
        dx, _ = layer.backward(dout, cache)
        assert torch.equal(out, torch.zeros_like(out))
        wanted = (dout - dout.mean(axes, keepdim=True)) / math.sqrt(EPS)
        assert float((dx - wanted).norm()) < 1e-12 * float(wanted.norm())

    @pytest.mark.parametrize("name", NORMALIZATIONS)
    def test_channel_of_zeros_leaves_all_numbers_finite(self, name):
        """A channel of zeros among others gives neither NaN nor infinity."""
        layer, _ = NORMALIZATIONS[name]
        x = randn(3, 4, 5, 5)
        x[:, 1] = 0
        out, cache = layer.forward(x)
        dx, _ = layer.backward(randn(3, 4, 5, 5), cache)
        assert torch.isfinite(out).all()
        assert torch.isfinite(dx).all()

    def test_equal_filter_weights_have_a_finite_gradient(self):
        """A filter of equal weights is standardized to 0, and its gradient is finite."""
        layer = WeightStandardized(Convolution(torch.full((2, 4, 2, 2), 0.5, dtype=torch.float64)), EPS)
        out, cache = layer.forward(randn(2, 4, 5, 5))
        _, gradients = layer.backward(randn(*out.shape), cache)
        assert torch.equal(out, torch.zeros_like(out))
        assert torch.isfinite(gradients["weight"]).all()

    def test_one_pixel_becomes_zero_and_has_no_gradient(self):
        """A map of one pixel, standardized by itself, is 0 and has a dx of 0."""
        layer = InstanceNorm(EPS)
        out, cache = layer.forward(randn(3, 4, 1, 1))
        dx, _ = layer.backward(randn(3, 4, 1, 1), cache)
        assert torch.equal(out, torch.zeros_like(out))
        assert torch.equal(dx, torch.zeros_like(dx))

    def test_one_image_in_a_batch_equals_instance_norm(self):
        """Batch normalization of one image is instance normalization, bit for bit."""
        x, dout = randn(1, 4, 5, 3), randn(1, 4, 5, 3)
        (batch, _), (instance, _) = STANDARDIZING["batch"], STANDARDIZING["instance"]
        (out, cache), (other, others_cache) = batch.forward(x), instance.forward(x)
        assert torch.equal(out, other)
        assert torch.equal(batch.backward(dout, cache)[0], instance.backward(dout, others_cache)[0])


class TestBoxCoxNearZero:
    @pytest.mark.parametrize("lam", [0.0, 1e-300, -1e-300, 1e-17, -1e-12, 1e-9, 1e-5, -1e-4])
    def test_box_cox_near_zero_equals_scipys(self, lam):
        """Near λ = 0 Box-Cox equals scipy's, and its gradients equal their series."""
        x = torch.logspace(-300, 3, 200, dtype=torch.float64)
        layer = BoxCox(torch.tensor(lam, dtype=torch.float64))
        out, cache = layer.forward(x)
        dx, gradients = layer.backward(torch.ones_like(x), cache)
        torch.testing.assert_close(out, torch.from_numpy(boxcox1p(x.numpy(), lam)), rtol=1e-13, atol=0)
        torch.testing.assert_close(dx, (1 + x) ** (lam - 1), rtol=1e-12, atol=0)
        u = torch.log1p(x)
        # d/dλ Σ λ^k u^(k+1) / (k+1)!, as far as its terms still count
        slope = sum((k * lam ** (k - 1) if k > 1 else 1.0) * u ** (k + 1) / math.factorial(k + 1) for k in range(1, 9))
        assert gradients["lam"].item() == pytest.approx(slope.sum().item(), rel=1e-10)


class TestSizes:
    @pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e-4, 1e4, 1e15, 1e30])
    @pytest.mark.parametrize("name", NORMALIZATIONS)
    def test_gradients_are_autograds_from_1e_minus_30_to_1e30(self, name, scale):
        """Normalizations of very small and very large values have autograd's gradients."""
        layer, forward = NORMALIZATIONS[name]
        x, dout = scale * randn(3, 4, 5, 5), randn(3, 4, 5, 5)
        image = x.clone().requires_grad_()
        followed = forward(image)
        followed.backward(dout)
        theirs = followed.detach()
        out, cache = layer.forward(x)
        dx, _ = layer.backward(dout, cache)
        assert float((out - theirs).norm()) < 1e-10 * float(theirs.norm())
        assert float((dx - image.grad).norm()) < 1e-10 * float(image.grad.norm())

    @pytest.mark.parametrize("scale", [1e-38, 1e-18, 1e-6, 1e6, 1e18])
    @pytest.mark.parametrize("name", NORMALIZATIONS)
    def test_float32_is_accurate_while_squares_fit(self, name, scale):
        """In float32 the output is accurate for values up to 1e18, whose squares do not overflow."""
        layer, forward = NORMALIZATIONS[name]
        x = (scale * randn(3, 4, 5, 5)).to(torch.float32)
        out, _ = in_float32(layer).forward(x)
        wanted = forward(x.to(torch.float64))
        assert float((out - wanted).norm()) < 1e-5 * float(wanted.norm())

    @pytest.mark.parametrize("name", ["batch", "layer", "instance", "rms"])
    def test_float32_overflow_gives_nan_and_never_zero(self, name):
        """In float32 values whose squares overflow become NaN. torch's zeros would look like a dead layer's."""
        x = (1e30 * randn(3, 4, 5, 5)).to(torch.float32)
        out, cache = in_float32(NORMALIZATIONS[name][0]).forward(x)
        dx, _ = NORMALIZATIONS[name][0].backward(torch.ones_like(x), cache)
        assert out.isnan().all()
        assert dx.isnan().all()

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    @pytest.mark.parametrize("kind", ["leaky_relu", "elu", "gelu", "silu", "tanh"])
    def test_activations_far_out_are_their_asymptotes(self, kind, dtype):
        """Activations and their derivatives reach their asymptotes at huge values."""
        x = torch.tensor([-1e30, -1e4, 1e4, 1e30], dtype=dtype)
        layer = Activation(kind)
        out, cache = layer.forward(x)
        dx, _ = layer.backward(torch.ones_like(x), cache)
        below, above = {"leaky_relu": (0.01, 1), "tanh": (0, 0)}.get(kind, (0, 1))
        slopes = torch.tensor([below, below, above, above], dtype=dtype)
        limits = {"elu": (-1.0, None), "tanh": (-1.0, 1.0)}.get(kind, (None, None))
        wanted = [slope * value for slope, value in zip(slopes.tolist(), x.tolist(), strict=True)]
        wanted = [limits[index > 1] if limits[index > 1] is not None else value for index, value in enumerate(wanted)]
        torch.testing.assert_close(out, torch.tensor(wanted, dtype=dtype), rtol=1e-6, atol=1e-30)
        torch.testing.assert_close(dx, slopes, rtol=1e-6, atol=1e-30)

    @pytest.mark.parametrize("name", [*NORMALIZATIONS, "box-cox", "yeo-johnson", "dynamic tanh"])
    @pytest.mark.parametrize(("dtype", "tiny"), [(torch.float64, 5e-324), (torch.float32, 1e-45)])
    def test_denormals_are_numbers_like_any_other(self, name, dtype, tiny):
        """Denormal values give finite outputs and gradients."""
        others = {
            "box-cox": (BoxCox(torch.tensor(2.0, dtype=torch.float64)), None),
            "yeo-johnson": (YeoJohnson(torch.full((1, 4, 1, 1), 1.5, dtype=torch.float64)), yeo_johnson),
            "dynamic tanh": (DynamicTanh(torch.tensor(0.5, dtype=torch.float64)), None),
        }
        layer = in_dtype((NORMALIZATIONS | others)[name][0], dtype)
        x = torch.tensor(tiny, dtype=torch.float64).to(dtype) * torch.arange(96, dtype=dtype).view(2, 4, 4, 3)
        assert float(x.abs().max()) > 0
        out, cache = layer.forward(x)
        dx, gradients = layer.backward(torch.ones_like(x), cache)
        assert all(torch.isfinite(each).all() for each in (out, dx, *gradients.values()))
        if name in ("box-cox", "yeo-johnson"):
            torch.testing.assert_close(out, x, rtol=1e-6, atol=2 * tiny)  # their slope at 0 is 1
            torch.testing.assert_close(dx, torch.ones_like(x))

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_huge_logits_have_a_finite_loss(self, dtype):
        """Huge logits have a finite loss, and each row of their gradient sums to 0."""
        logits = torch.tensor([[1e30, -1e30, 0.0], [-1e30, -1e30, -1e30], [700.0, 800.0, -800.0]], dtype=dtype)
        loss, dlogits = cross_entropy(logits, torch.tensor([0, 2, 1]))
        assert loss.item() == pytest.approx(math.log(3) / 3, rel=1e-6)
        assert torch.isfinite(dlogits).all()
        assert float(dlogits.sum(1).abs().max()) <= torch.finfo(dtype).eps


def in_float32(layer):
    return in_dtype(layer, torch.float32)


def in_dtype(layer, dtype):
    """A copy of the layer with its parameters and averages in another precision."""
    other = deepcopy(layer)
    for tensor in (*parameters_of(other).values(), *buffers_of(other).values()):
        tensor.data = tensor.data.to(dtype)
    return other
