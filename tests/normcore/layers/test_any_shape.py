"""Every layer on random shapes and memory layouts, in float64 and float32, compared with autograd in float64."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from normcore import (
    Activation,
    Add,
    Affine,
    AveragePool,
    BatchNorm,
    BoxCox,
    Convolution,
    Dropout,
    DynamicTanh,
    GlobalAveragePool,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    MaxPool,
    RangeNorm,
    ReLU,
    RMSNorm,
    RunningStatistics,
    ThresholdedLinear,
    WeightStandardized,
    YeoJohnson,
)
from normcore.layers.layer import parameters_of
from tests.normcore.test_gradients import standardized, yeo_johnson

# Not 1e-8: dx of two standardized values is due to ε alone, and all digits but eight cancel, in autograd as in ours.
# test_hard_cases.py has small values of ε.
EPS = 0.1


class Drawn(NamedTuple):
    """A layer, the same forward in torch of x and the parameters, and whether x must not be negative."""

    layer: object
    forward: object
    positive: bool = False


class Random:
    """Random numbers of one precision from one seed."""

    def __init__(self, seed, dtype):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def __call__(self, *shape):
        return torch.randn(shape, dtype=torch.float64, generator=self.generator).to(self.dtype)


def convolution(draw, randn, shape, wrap=None):
    _, channels, height, width = shape
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["same", 0, 1, 2]))
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    zeros = 0 if padding == "same" else 2 * padding
    assume(padding == "same" or min(height, width) + zeros >= kernel)
    weight = randn(groups * draw(st.integers(1, 3)), channels // groups, kernel, kernel)
    bias = randn(len(weight)) if draw(st.booleans()) else None
    layer = Convolution(weight, stride=stride, padding=padding, groups=groups, bias=bias)

    def forward(x, w, b=None):
        pads = [same(size, kernel, stride) if padding == "same" else (padding, padding) for size in (width, height)]
        return F.conv2d(F.pad(x, (*pads[0], *pads[1])), wrap(w) if wrap else w, b, stride, groups=groups)

    return Drawn(WeightStandardized(layer, EPS) if wrap else layer, forward)


def same(size, kernel, stride):
    """TensorFlow's own rule: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2."""
    total = max(kernel - stride, 0) if size % stride == 0 else max(kernel - size % stride, 0)
    return total // 2, total - total // 2


def group(draw, randn, shape):
    groups = draw(st.sampled_from([g for g in range(1, shape[1] + 1) if shape[1] % g == 0]))

    def forward(x):
        grouped = x.reshape(x.shape[0], groups, -1)
        mean = grouped.mean(2, keepdim=True)
        return ((grouped - mean) / (grouped.var(2, correction=0, keepdim=True) + EPS).sqrt()).view(x.shape)

    return Drawn(GroupNorm(groups, EPS), forward)


def pool(draw, randn, shape, kind, forward):
    size, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    assume(min(shape[2:]) >= size)
    return Drawn(kind(size, stride), lambda x: forward(x, size, stride))


def ranged(x):
    low, high = x.amin((0, 2, 3), keepdim=True), x.amax((0, 2, 3), keepdim=True)
    return (x - low) / (high - low + EPS)


def batch(draw, randn, shape):
    running = RunningStatistics(*(randn(1, shape[1], 1, 1) for _ in range(2)), 0.9)
    return Drawn(BatchNorm(running, EPS), scaled((0, 2, 3)))


def scaled(axes):
    return standardized(axes, EPS)


def rms(axes):
    return lambda x: x / (x.square().mean(axes, keepdim=True) + EPS).sqrt()


def per_channel(kind, forward, count):
    return lambda draw, randn, shape: Drawn(kind(*(randn(1, shape[1], 1, 1) for _ in range(count))), forward)


LAYERS = {
    "convolution": convolution,
    "weight standardization": lambda *given: convolution(*given, wrap=scaled((1, 2, 3))),
    "linear": lambda draw, randn, shape: Drawn(
        Linear(randn(4, shape[1] * shape[2] * shape[3]), randn(4)), lambda x, w, b: F.linear(x.flatten(1), w, b)
    ),
    "max pool": lambda *given: pool(*given, MaxPool, F.max_pool2d),
    "average pool": lambda *given: pool(*given, AveragePool, F.avg_pool2d),
    "mean pool": lambda *given: Drawn(GlobalAveragePool(), lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)),
    "relu": lambda *given: Drawn(ReLU(), lambda x: x.clamp(min=0)),
    "leaky relu": lambda *given: Drawn(Activation("leaky_relu"), F.leaky_relu),
    "elu": lambda *given: Drawn(Activation("elu"), F.elu),
    "gelu": lambda *given: Drawn(Activation("gelu"), F.gelu),
    "silu": lambda *given: Drawn(Activation("silu"), F.silu),
    "tanh": lambda *given: Drawn(Activation("tanh"), torch.tanh),
    "batch": batch,
    "layer": lambda *given: Drawn(LayerNorm(EPS), scaled((1, 2, 3))),
    "instance": lambda *given: Drawn(InstanceNorm(EPS), scaled((2, 3))),
    "group": group,
    "rms": lambda *given: Drawn(RMSNorm(eps=EPS), rms((1, 2, 3))),
    "rms of a map": lambda *given: Drawn(RMSNorm((-2, -1), EPS), rms((2, 3))),
    "range": lambda draw, randn, shape: Drawn(
        RangeNorm(randn(1, shape[1], 1, 1), randn(1, shape[1], 1, 1), 0.9, EPS), ranged
    ),
    "box-cox": lambda draw, randn, shape: Drawn(
        BoxCox(1 + 0.5 * randn()), lambda x, lam: ((1 + x) ** lam - 1) / lam, positive=True
    ),
    "yeo-johnson": per_channel(lambda lam: YeoJohnson(1 + 0.3 * lam.tanh()), yeo_johnson, 1),
    "dynamic tanh": lambda draw, randn, shape: Drawn(DynamicTanh(randn()), lambda x, alpha: torch.tanh(alpha * x)),
    "threshold": per_channel(ThresholdedLinear, torch.maximum, 1),
    "affine": per_channel(Affine, lambda x, scale, shift: scale * x + shift, 2),
    "dropout": lambda draw, randn, shape: Drawn(
        Dropout(0.4, draw(st.integers(0, 2**32)), torch.zeros((), dtype=torch.int64)), None
    ),
    "sum": lambda *given: Drawn(Add(), lambda x: x),
}

LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x,
    "every other": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "the middle of something larger": lambda x: F.pad(x, (1, 2, 2, 1))[..., 2:-1, 1:-2],
}
BOUNDS = {torch.float64: 1e-10, torch.float32: 1e-5}
# A sum may nearly cancel, so that it is mostly rounding. An error is compared with at least this fraction of dout's
# norm. In float32 the bound is then 1e-6 of dout, about ten units of its last digit.
LEAST = {torch.float64: 1e-3, torch.float32: 1e-1}


class TestAnyShape:
    @pytest.mark.parametrize("dtype", BOUNDS, ids=["float64", "float32"])
    @pytest.mark.parametrize("name", LAYERS)
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_gradients_equal_autograds(self, name, dtype, data):
        """Gradients equal autograd's in float64 on random shapes and memory layouts, in both precisions."""
        shape = tuple(data.draw(st.integers(1, most)) for most in (4, 6, 9, 9))
        randn = Random(data.draw(st.integers(0, 2**32)), dtype)
        layer, forward, positive = LAYERS[name](data.draw, randn, shape)
        lay_x, lay_dout = (LAYOUTS[data.draw(st.sampled_from(list(LAYOUTS)))] for _ in range(2))
        x = lay_x(randn(*shape).abs() if positive else randn(*shape))
        mask = layer.forward(torch.ones_like(x))[0] if name == "dropout" else None
        if mask is not None:
            layer.calls.zero_()  # so that forward draws the same mask again
            forward = lambda x: x * mask  # noqa: E731

        # Autograd gets the numbers that ours gets, in float64, so that only the rounding of float32 is measured there.
        leaves = {key: own.to(torch.float64, copy=True).requires_grad_() for key, own in parameters_of(layer).items()}
        image = x.to(torch.float64, copy=True).requires_grad_()
        theirs = forward(image, *leaves.values())
        dout = randn(*theirs.shape)
        dout = lay_dout(dout) if dout.dim() == 4 else dout
        theirs.backward(dout.to(torch.float64))

        out, cache = layer.forward(x)
        dx, gradients = layer.backward(dout, cache)

        assert out.dtype == dx.dtype == dtype
        assert dx.shape == x.shape
        assert gradients.keys() == leaves.keys()
        assert_close(out, theirs.detach(), BOUNDS[dtype])
        scale = LEAST[dtype] * float(dout.norm())
        assert_close(dx, image.grad, BOUNDS[dtype], scale)
        for key, leaf in leaves.items():
            assert_close(gradients[key], leaf.grad, BOUNDS[dtype], scale)


def assert_close(ours, theirs, bound, least=0.0):
    """Check ‖ours − theirs‖ / ‖theirs‖; a norm of theirs below least counts as least."""
    distance = float((ours.to(torch.float64) - theirs).norm())
    assert distance <= bound * max(float(theirs.norm()), least), (distance, float(theirs.norm()))
