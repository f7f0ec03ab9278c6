"""Neural network layers, losses, optimizers and histograms whose derivatives are written out by hand, without autograd.

Make a layer, run it forward and backward, and check it by a finite difference:

>>> import torch
>>> from normcore import LayerNorm
>>> _ = torch.manual_seed(0)
>>> layer = LayerNorm()
>>> x, dout = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64)
>>> out, cache = layer.forward(x)
>>> dx, gradients = layer.backward(dout, cache)
>>> direction, h = torch.randn_like(x), 1e-6
>>> above, below = ((layer.forward(x + sign * h * direction)[0] * dout).sum() for sign in (1, -1))
>>> torch.allclose((above - below) / (2 * h), (dx * direction).sum())
True

docs/normcore.md shows more: a network, its training, test time, and how to write a new normalization.
"""

from normcore.cross_entropy import cross_entropy
from normcore.histograms import MANTISSA_BITS, Histogram, histogram
from normcore.layers import (
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
    Gradients,
    GroupNorm,
    Identity,
    InstanceNorm,
    Layer,
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
)
from normcore.network import Network, Probe
from normcore.optimizers import SGD, Adam, Optimizer, WeightDecay

__all__ = [
    "MANTISSA_BITS",
    "SGD",
    "Activation",
    "Adam",
    "Add",
    "Affine",
    "AveragePool",
    "BatchNorm",
    "BoxCox",
    "Convolution",
    "Dropout",
    "DynamicTanh",
    "FixedRange",
    "FixedStandardization",
    "GlobalAveragePool",
    "Gradients",
    "GroupNorm",
    "Histogram",
    "Identity",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "Network",
    "Optimizer",
    "Probe",
    "RMSNorm",
    "RangeNorm",
    "ReLU",
    "RunningStatistics",
    "SlotStatistics",
    "ThresholdedLinear",
    "WeightDecay",
    "WeightStandardized",
    "YeoJohnson",
    "cross_entropy",
    "histogram",
]
