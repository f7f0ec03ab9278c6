"""The layers of the reference network: torch's own functions, or published formulas in torch's plain operators.

Nothing of normcore is used here, so that a mistake there is not repeated. Autograd differentiates these functions.
Where two one-sided derivatives exist, the reference takes the one that the layer's documentation names.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape
from worker.training.gradient_check.reference_dropout import dropout_mask
from worker.training.gradient_check.reference_power import power_transform

CHANNEL, IMAGE, MAP, FILTER = (0, 2, 3), (1, 2, 3), (2, 3), (1, 2, 3)  # axes of N C H W, and of a weight O C K K
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh,
}  # fmt: skip


def layer_output(
    spec: ExperimentSpec,
    index: int,
    shape: LayerShape,
    xs: Sequence[Tensor],
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    *,
    training: bool,
) -> Tensor:
    """Return the output of one layer, in training or at test time.

    Args:
        spec: The experiment.
        index: The layer's index in the network.
        shape: The layer.
        xs: Its inputs, N C H W or N D.
        parameters: Its parameters by name.
        buffers: Its running statistics and counts by name, as they were before the batch.
        training: Whether the batch is a training batch.

    Raises ValueError for a kind of layer without a reference.
    """
    x = xs[0]
    match shape.kind:
        case "convolution":
            return _convolution(spec, shape, x, parameters)
        case "linear":
            return F.linear(x.flatten(1), parameters["weight"], parameters.get("bias"))
        case "normalization":
            return _normalization(spec, shape, x, parameters, buffers, training)
        case "affine":
            return x * parameters["scale"] + parameters["shift"]
        case "thresholded_linear":
            return torch.where(x > parameters["tau"], x, parameters["tau"])
        case "max_pool":
            return F.max_pool2d(x, _window(shape.kernel_size), _window(shape.stride))
        case "average_pool":
            return F.avg_pool2d(x, _window(shape.kernel_size), _window(shape.stride))
        case "global_average_pool":
            return x.mean(MAP)
        case "dropout":
            return x * dropout_mask(spec, index, shape, x, buffers["calls"]) if training else x
        case "add":
            return torch.stack(tuple(xs)).sum(0)
        case kind if kind in ACTIVATIONS:
            return ACTIVATIONS[kind](x)
        case kind:
            raise ValueError(f"the gradient check has no reference for a layer of kind {kind!r}")


def next_buffers(
    spec: ExperimentSpec, shape: LayerShape, x: Tensor, buffers: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return a layer's running statistics and counts after a training batch whose input was x, N C H W."""
    if shape.kind == "dropout":
        return {"calls": buffers["calls"] + 1}
    if not buffers:
        return {}
    if shape.variant == "range":
        batch = {"running_low": x.amin(CHANNEL, keepdim=True), "running_high": x.amax(CHANNEL, keepdim=True)}
    else:
        axes = {"batch": CHANNEL, "layer": IMAGE, "instance": MAP}[str(shape.variant)]
        batch = {"running_mean": x.mean(axes, keepdim=True), "running_var": x.var(axes, correction=0, keepdim=True)}
    return {name: _averaged(buffers[name], values, spec.norm_momentum) for name, values in batch.items()}


def _averaged(running: Tensor, batch: Tensor, momentum: float) -> Tensor:
    """Return the average after a batch. A batch of fewer images than slots changes the first slots alone."""
    after = running.clone()
    after[: len(batch)] = momentum * running[: len(batch)] + (1 - momentum) * batch
    return after


def _convolution(spec: ExperimentSpec, shape: LayerShape, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    weight, stride = parameters["weight"], _window(shape.stride)
    if shape.standardized:
        variance, mean = torch.var_mean(weight, FILTER, correction=0, keepdim=True)
        weight = (weight - mean) / torch.sqrt(variance + spec.norm_eps)
    padding = 0
    if shape.padding == "same":
        top, bottom = _same_padding(x.shape[2], weight.shape[2], stride)
        left, right = _same_padding(x.shape[3], weight.shape[3], stride)
        x = F.pad(x, (left, right, top, bottom))
    else:
        padding = shape.padding or 0
    return F.conv2d(x, weight, parameters.get("bias"), stride, padding, groups=shape.groups or 1)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's zeros before and after an axis, with which ceil(size / stride) windows fit.

    Source: "Convolution: notes on padding", tf.nn in TensorFlow's API documentation.
    """
    rest = size % stride
    zeros = max(kernel - (rest if rest else stride), 0)
    before = zeros // 2
    return before, zeros - before


def _normalization(
    spec: ExperimentSpec,
    shape: LayerShape,
    x: Tensor,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    training: bool,
) -> Tensor:
    eps = spec.norm_eps
    match shape.variant:
        case "batch":
            return _batch_norm(x, eps, buffers, training)
        case "layer" | "instance" if buffers and not training:
            mean, variance = buffers["running_mean"][: len(x)], buffers["running_var"][: len(x)]
            return (x - mean) / torch.sqrt(variance + eps)
        case "layer":
            return F.layer_norm(x, x.shape[1:], eps=eps)
        case "instance":
            return F.layer_norm(x, x.shape[2:], eps=eps)  # F.instance_norm refuses maps of one position
        case "group":
            assert shape.groups is not None
            return F.group_norm(x, shape.groups, eps=eps)
        case "rms":
            return F.rms_norm(x, x.shape[1:], eps=eps)
        case "filter_response":
            return F.rms_norm(x, x.shape[2:], eps=eps)
        case "range":
            low = x.amin(CHANNEL, keepdim=True) if training else buffers["running_low"]
            high = x.amax(CHANNEL, keepdim=True) if training else buffers["running_high"]
            return (x - low) / (high - low + eps)
        case "box_cox":
            return _box_cox(spec, x, parameters["lam"])
        case "yeo_johnson":
            lam = parameters["lam"]
            positive, size = x >= 0, torch.where(x >= 0, x, -x)
            transformed = power_transform(size, torch.where(positive, lam, 2 - lam))
            return torch.where(positive, transformed, -transformed)
        case "dynamic_tanh":
            return torch.tanh(parameters["alpha"] * x)
        case variant:
            raise ValueError(f"the gradient check has no reference for variant {variant!r}")


def _batch_norm(x: Tensor, eps: float, buffers: Mapping[str, Tensor], training: bool) -> Tensor:
    if training and math.prod(x.shape) == x.shape[1]:
        return x - x  # F.batch_norm refuses a single value per channel, whose mean is itself
    mean, variance = (None, None) if training else (buffers["running_mean"].flatten(), buffers["running_var"].flatten())
    return F.batch_norm(x, mean, variance, training=training, eps=eps)


def _box_cox(spec: ExperimentSpec, x: Tensor, lam: Tensor) -> Tensor:
    """Return ((1 + x)^λ − 1) / (λ + δ)."""
    delta = spec.box_cox_denominator_eps
    transformed = power_transform(x, lam)
    return transformed * lam / (lam + delta) if delta else transformed


def _window(size: int | None) -> int:
    assert size is not None
    return size
