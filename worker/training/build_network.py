"""Build the network of a spec, with its initial weights, from normcore."""

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
    """Return the spec's network. Weights are drawn on the CPU, so a seed gives the same weights on every device."""
    generator, like = torch.Generator().manual_seed(spec.seed), torch.empty(0, device=device, dtype=dtype)
    layers: list[Layer] = []
    shapes = spec.layer_shapes()
    for index, shape in enumerate(shapes):
        if spec.initial_weights == "same_seed_per_layer":
            generator.manual_seed(spec.seed)
        if shape.kind == "dropout":
            assert shape.rate is not None
            seed = (spec.seed << 8) + index  # so that layers and experiments draw different masks
            layers.append(Dropout(shape.rate, seed, torch.zeros((), dtype=torch.int64, device=device)))
        else:
            layers.append(_layer(spec, shape, generator, like))
    return Network(layers, [shape.inputs for shape in shapes], recompute=spec.memory == "recompute")


def _layer(spec: ExperimentSpec, shape: LayerShape, generator: torch.Generator, like: Tensor) -> Layer:
    match shape.kind:
        case "convolution":
            return _convolution(spec, shape, generator, like)
        case "relu":
            return ReLU()
        case "leaky_relu" | "elu" | "gelu" | "silu" | "tanh":
            return Activation(shape.kind)
        case "normalization":
            return _normalization(spec, shape, like)
        case "affine":
            channels = (1, shape.input_shape[0], 1, 1)
            return Affine(like.new_ones(channels), like.new_zeros(channels))
        case "thresholded_linear":
            return ThresholdedLinear(like.new_zeros((1, shape.input_shape[0], 1, 1)))
        case "linear":
            return _linear(spec, shape, generator, like)
        case "max_pool" | "average_pool":
            assert shape.kernel_size and shape.stride
            pool = MaxPool if shape.kind == "max_pool" else AveragePool
            return pool(shape.kernel_size, shape.stride)
        case "global_average_pool":
            return GlobalAveragePool(spec.pool_gradient)
        case "add":
            return Add()
        case kind:
            raise ValueError(f"no layer is built for {kind!r}")


def _convolution(spec: ExperimentSpec, shape: LayerShape, generator: torch.Generator, like: Tensor) -> Layer:
    assert shape.kernel_size and shape.stride and shape.groups and shape.padding is not None
    outputs, inputs, size = shape.output_shape[0], shape.input_shape[0] // shape.groups, shape.kernel_size
    weight = torch.empty(outputs, inputs, size, size).normal_(0.0, spec.init_std, generator=generator)
    convolution = Convolution(
        # Convolutions on a CPU are fastest with channels last.
        weight.to(like).contiguous(memory_format=layout(like.device)),
        stride=shape.stride,
        padding=shape.padding,
        divide_by_batch=spec.filter_gradient == "divided_by_batch",
        groups=shape.groups,
        bias=like.new_zeros(outputs) if shape.bias else None,
    )
    return WeightStandardized(convolution, spec.norm_eps) if shape.standardized else convolution


def _linear(spec: ExperimentSpec, shape: LayerShape, generator: torch.Generator, like: Tensor) -> Linear:
    outputs = shape.output_shape[0]
    weight = torch.empty(outputs, math.prod(shape.input_shape)).normal_(0.0, spec.init_std, generator=generator)
    return Linear(weight.to(like), like.new_zeros(outputs) if shape.bias else None)


def _normalization(spec: ExperimentSpec, shape: LayerShape, like: Tensor) -> Layer:
    channels = shape.input_shape[0]
    by_slot = spec.test_statistics == "slot"

    def averages(*size: int) -> tuple[Tensor, Tensor, float]:
        mean = like.new_zeros(size)
        return mean, torch.full_like(mean, spec.running_var_start), spec.norm_momentum

    match shape.variant:
        case "batch":
            return BatchNorm(RunningStatistics(*averages(1, channels, 1, 1)), spec.norm_eps)
        case "layer":
            return LayerNorm(spec.norm_eps, SlotStatistics(*averages(spec.batch_size, 1, 1, 1)) if by_slot else None)
        case "instance":
            slots = SlotStatistics(*averages(spec.batch_size, channels, 1, 1)) if by_slot else None
            return InstanceNorm(spec.norm_eps, slots)
        case "group":
            assert shape.groups
            return GroupNorm(shape.groups, spec.norm_eps)
        case "rms":
            return RMSNorm(eps=spec.norm_eps)
        case "filter_response":
            return RMSNorm((-2, -1), spec.norm_eps)
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
