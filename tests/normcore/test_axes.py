"""Axes counted from the right: a leading axis of S entries gives the stacked results of S separate calls."""

import pytest
import torch

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
    FixedRange,
    FixedStandardization,
    GlobalAveragePool,
    GroupNorm,
    Identity,
    InstanceNorm,
    LayerNorm,
    Linear,
    MaxPool,
    RangeNorm,
    ReLU,
    RMSNorm,
    RunningStatistics,
    SlotStatistics,
    ThresholdedLinear,
    WeightStandardized,
    YeoJohnson,
    cross_entropy,
)
from normcore.layers.layer import buffers_of, parameters_of
from tests.normcore.averages import exactly, randn
from tests.normcore.conftest import LAYERS

S, N, C, H, W = 3, 4, 6, 5, 7


class Tensors:
    """Tensors for S layers, or for one layer of them: the same tensors, stacked or one entry of each."""

    def __init__(self, entry=None):
        self.entry, self.generator = entry, torch.Generator().manual_seed(23)

    def __call__(self, *shape):
        stacked = torch.randn((S, *shape), dtype=torch.float64, generator=self.generator).abs() + 0.1
        return stacked if self.entry is None else stacked[self.entry].clone()

    def scalar(self):
        """A scalar for each of S layers: with as many axes as x, or for one layer without any."""
        stacked = self(1, 1, 1, 1)
        return stacked if self.entry is None else stacked.reshape(())


CHANNELS = (1, C, 1, 1)
STACKABLE = {
    Activation: lambda make: Activation("gelu"),
    Add: lambda make: Add(),
    Affine: lambda make: Affine(make(*CHANNELS), make(*CHANNELS)),
    BatchNorm: lambda make: BatchNorm(RunningStatistics(make(*CHANNELS), make(*CHANNELS), 0.9)),
    BoxCox: lambda make: BoxCox(make.scalar(), denominator_eps=0.1, lambda_gradient="mean"),
    DynamicTanh: lambda make: DynamicTanh(make.scalar()),
    FixedRange: lambda make: FixedRange(make(*CHANNELS), make(*CHANNELS) + 5, 0.1),
    FixedStandardization: lambda make: FixedStandardization(
        SlotStatistics(make(N + 1, C, 1, 1), make(N + 1, C, 1, 1), 0.9), 0.1
    ),
    GlobalAveragePool: lambda make: GlobalAveragePool(),
    GroupNorm: lambda make: GroupNorm(2),
    Identity: lambda make: Identity(),
    InstanceNorm: lambda make: InstanceNorm(0.1, SlotStatistics(make(N, C, 1, 1), make(N, C, 1, 1), 0.9)),
    LayerNorm: lambda make: LayerNorm(0.1, SlotStatistics(make(N + 1, 1, 1, 1), make(N + 1, 1, 1, 1), 0.9)),
    Linear: lambda make: Linear(make(9, C * H * W), make(9)),
    RMSNorm: lambda make: RMSNorm(),
    RangeNorm: lambda make: RangeNorm(make(*CHANNELS), make(*CHANNELS)),
    ReLU: lambda make: ReLU(),
    ThresholdedLinear: lambda make: ThresholdedLinear(make(*CHANNELS)),
    YeoJohnson: lambda make: YeoJohnson(make(*CHANNELS)),
}
# Their docstrings say why: torch's operators take one batch axis, and dropout's masks are drawn by an element's index.
NOT_YET = {AveragePool, Convolution, Dropout, MaxPool, WeightStandardized}


class TestLeadingAxis:
    def test_every_layer_is_tested_or_says_why_not(self):
        """Every layer is in one of the two lists."""
        assert set(LAYERS) == STACKABLE.keys() | NOT_YET
        assert all("in front" in " ".join(layer.__doc__.split()) for layer in NOT_YET)

    @pytest.mark.parametrize("make", STACKABLE.values(), ids=lambda make: type(make(Tensors())).__name__)
    def test_stacked_call_equals_separate_calls(self, make):
        """Output, dx, parameter gradients and updated statistics are stacked, entry by entry."""
        stacked, x = make(Tensors()), randn(S, N, C, H, W).abs()
        out, cache = stacked.forward(x)
        dout = randn(*out.shape)
        dx, gradients = stacked.backward(dout, cache)

        for entry in range(S):
            single = make(Tensors(entry))
            single_out, single_cache = single.forward(x[entry])
            single_dx, single_gradients = single.backward(dout[entry], single_cache)
            exactly(out[entry], single_out)
            exactly(dx[entry], single_dx)
            assert gradients.keys() == parameters_of(stacked).keys() == single_gradients.keys()
            for name, gradient in single_gradients.items():
                assert gradients[name].shape == parameters_of(stacked)[name].shape
                exactly(gradients[name][entry].view(gradient.shape), gradient)
            for name, buffer in buffers_of(single).items():
                exactly(buffers_of(stacked)[name][entry], buffer)

    def test_linear_takes_flat_inputs_too(self):
        """A linear layer with an axis in front takes flat inputs with that axis."""
        weight, x = randn(S, 9, 8), randn(S, N, 8)
        out, cache = Linear(weight).forward(x)
        dx, gradients = Linear(weight).backward(out, cache)
        for entry in range(S):
            single_out, single_cache = Linear(weight[entry]).forward(x[entry])
            single_dx, single_gradients = Linear(weight[entry]).backward(single_out, single_cache)
            exactly(out[entry], single_out)
            exactly(dx[entry], single_dx)
            exactly(gradients["weight"][entry], single_gradients["weight"])

    def test_cross_entropy_has_one_loss_for_each_entry(self):
        """The loss has one value for each entry of the leading axis."""
        logits, labels = randn(S, N, 10), torch.randint(10, (S, N))
        loss, dlogits = cross_entropy(logits, labels)
        for entry in range(S):
            single_loss, single_dlogits = cross_entropy(logits[entry], labels[entry])
            exactly(loss[entry], single_loss)
            exactly(dlogits[entry], single_dlogits)
