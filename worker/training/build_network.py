"""From a spec to normcore: the network, with its first weights."""

import math

import torch
from torch import Tensor

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
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    Network,
    RangeNorm,
    ReLU,
    RMSNorm,
    RunningStatistics,
    SlotStatistics,
    ThresholdedLinear,
    WeightStandardized,
    YeoJohnson,
)
from normcore.step import layout
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape


def build_network(spec: ExperimentSpec, device: torch.device, dtype: torch.dtype = torch.float32) -> Network:
    """The spec's network. Weights are drawn on the CPU, so that a seed means the same weights on every device."""
    generator, like = torch.Generator().manual_seed(spec.seed), torch.empty(0, device=device, dtype=dtype)
    layers: list[Layer] = []
    network = spec.layer_shapes()
    for place, resolved in enumerate(network):
        if spec.initial_weights == "same_seed_per_layer":
            generator.manual_seed(spec.seed)
        if resolved.kind == "dropout":
            assert resolved.rate is not None
            seed = (spec.seed << 8) + place  # each layer of each experiment drops others
            layers.append(Dropout(resolved.rate, seed, torch.zeros((), dtype=torch.int64, device=device)))
        else:
            layers.append(_layer(spec, resolved, generator, like))
    return Network(layers, [resolved.inputs for resolved in network], recompute=spec.memory == "recompute")


def _layer(spec: ExperimentSpec, resolved: LayerShape, generator: torch.Generator, like: Tensor) -> Layer:
    match resolved.kind:
        case "convolution":
            return _convolution(spec, resolved, generator, like)
        case "relu":
            return ReLU()
        case "leaky_relu" | "elu" | "gelu" | "silu" | "tanh":
            return Activation(resolved.kind)
        case "normalization":
            return _normalization(spec, resolved, like)
        case "affine":
            shape = (1, resolved.input_shape[0], 1, 1)
            return Affine(like.new_ones(shape), like.new_zeros(shape))
        case "thresholded_linear":
            return ThresholdedLinear(like.new_zeros((1, resolved.input_shape[0], 1, 1)))
        case "linear":
            return _linear(spec, resolved, generator, like)
        case "max_pool" | "average_pool":
            assert resolved.kernel_size and resolved.stride
            pool = MaxPool if resolved.kind == "max_pool" else AveragePool
            return pool(resolved.kernel_size, resolved.stride)
        case "global_average_pool":
            return GlobalAveragePool(spec.pool_gradient)
        case "add":
            return Add()
        case kind:
            raise ValueError(f"no layer is built for {kind!r}")


def _convolution(spec: ExperimentSpec, resolved: LayerShape, generator: torch.Generator, like: Tensor) -> Layer:
    assert resolved.kernel_size and resolved.stride and resolved.groups and resolved.padding is not None
    outputs, inputs, size = resolved.output_shape[0], resolved.input_shape[0] // resolved.groups, resolved.kernel_size
    weight = torch.empty(outputs, inputs, size, size).normal_(0.0, spec.init_std, generator=generator)
    convolution = Convolution(
        # A CPU's convolutions are fastest where channels lie last.
        weight.to(like).contiguous(memory_format=layout(like.device)),
        stride=resolved.stride,
        padding=resolved.padding,
        divide_by_batch=spec.filter_gradient == "divided_by_batch",
        groups=resolved.groups,
        bias=like.new_zeros(outputs) if resolved.bias else None,
    )
    return WeightStandardized(convolution, spec.norm_eps) if resolved.standardized else convolution


def _linear(spec: ExperimentSpec, resolved: LayerShape, generator: torch.Generator, like: Tensor) -> Linear:
    shape = (resolved.output_shape[0], math.prod(resolved.input_shape))
    weight = torch.empty(shape).normal_(0.0, spec.init_std, generator=generator)
    return Linear(weight.to(like), like.new_zeros(shape[0]) if resolved.bias else None)


def _normalization(spec: ExperimentSpec, resolved: LayerShape, like: Tensor) -> Layer:
    channels = resolved.input_shape[0]
    by_slot = spec.test_statistics == "slot"

    def averages(*shape: int) -> tuple[Tensor, Tensor, float]:
        mean = like.new_zeros(shape)
        return mean, torch.full_like(mean, spec.running_var_start), spec.norm_momentum

    match resolved.variant:
        case "batch":
            return BatchNorm(RunningStatistics(*averages(1, channels, 1, 1)), spec.norm_eps)
        case "layer":
            return LayerNorm(spec.norm_eps, SlotStatistics(*averages(spec.batch_size, 1, 1, 1)) if by_slot else None)
        case "instance":
            slots = SlotStatistics(*averages(spec.batch_size, channels, 1, 1)) if by_slot else None
            return InstanceNorm(spec.norm_eps, slots)
        case "group":
            assert resolved.groups
            return GroupNorm(resolved.groups, spec.norm_eps)
        case "rms":
            return RMSNorm(eps=spec.norm_eps)
        case "filter_response":
            return RMSNorm((2, 3), spec.norm_eps)
        case "range":
            low = like.new_zeros((1, channels, 1, 1))
            return RangeNorm(low, torch.full_like(low, spec.running_var_start), spec.norm_momentum, spec.norm_eps)
        case "yeo_johnson":
            return YeoJohnson(like.new_full((1, channels, 1, 1), spec.yeo_johnson_lambda))
        case "dynamic_tanh":
            return DynamicTanh(like.new_tensor(spec.dynamic_tanh_alpha))
        case "box_cox":
            lam = like.new_tensor(spec.box_cox_lambda)
            return BoxCox(lam, spec.box_cox_denominator_eps, spec.lambda_gradient)
        case variant:
            raise ValueError(f"no normalization is built for variant {variant!r}")
