"""The study's network in float64, built from normcore alone: its six blocks with each normalization."""

import torch

from normcore import (
    BatchNorm,
    BoxCox,
    Convolution,
    GlobalAveragePool,
    InstanceNorm,
    LayerNorm,
    Network,
    ReLU,
)
from tests.normcore.averages import EPS, running

CHANNELS = (3, 16, 16, 16, 16, 16, 10)
STRIDES = (2, 2, 2, 2, 1, 1)

NORMALIZATIONS = {
    "none": lambda channels: [],
    "batch": lambda channels: [BatchNorm(running(1, channels, 1, 1), EPS)],
    "layer": lambda channels: [LayerNorm(EPS)],
    "instance": lambda channels: [InstanceNorm(EPS)],
    "box_cox": lambda channels: [BoxCox(torch.tensor(2.0, dtype=torch.float64))],
}


def study_network(normalization, *, init_std=0.05, pool_gradient="exact", divide_by_batch=False):
    generator = torch.Generator().manual_seed(5)
    layers = []
    for block, (inputs, outputs, stride) in enumerate(zip(CHANNELS, CHANNELS[1:], STRIDES, strict=False), start=1):
        weight = init_std * torch.randn((outputs, inputs, 3, 3), dtype=torch.float64, generator=generator)
        layers += [Convolution(weight, stride=stride, divide_by_batch=divide_by_batch), ReLU()]
        if block < 6:
            layers += NORMALIZATIONS[normalization](outputs)
    return Network([*layers, GlobalAveragePool(pool_gradient)])


def batch_of(images, size):
    generator = torch.Generator().manual_seed(7)
    x = torch.rand((images, 3, size, size), dtype=torch.float64, generator=generator)
    return x, torch.randint(10, (images,), generator=generator)


def indices_of(network, kind):
    return [index for index, layer in enumerate(network.layers) if isinstance(layer, kind)]
