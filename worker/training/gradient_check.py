"""The gradient check of an experiment: its own network in float64, compared with autograd on one real mini-batch.

This is the only place in the worker that uses autograd. Training itself does not.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normcore import Network
from normcore.layers.layer import parameters_of
from normcore.network import IMAGES, LayerGradients
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape
from worker.training.build_network import build_network

LIMIT = 1e-8  # a larger error means a wrong formula; rounding is about six digits smaller
# The gradients of the 2018 notebook differ from the true ones on purpose. The true ones are checked instead.
EXACT = {"pool_gradient": "exact", "filter_gradient": "exact", "lambda_gradient": "sum"}


class WrongGradient(Exception):
    """A hand-written gradient differs from autograd's; the message names the layer."""


def check_gradients(spec: ExperimentSpec, images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Return, for each layer, the largest relative error ‖ours − autograd's‖ / ‖autograd's‖ of its gradients.

    A layer's gradients are dx and those of its parameters. A gradient with less than a millionth of the norm of the
    network's largest gradient is compared with that millionth, because it is nothing but rounding. An error is None
    where a gradient is not finite.

    Args:
        spec: The experiment.
        images: One mini-batch, N 3 H W uint8.
        labels: The index of each image's class, N int64.

    Raises WrongGradient if an error is above LIMIT.
    """
    # MPS has no float64, so there the check runs on the CPU.
    device = torch.device("cpu") if images.device.type == "mps" else images.device
    exact, x, labels = spec.model_copy(update=EXACT), images.to(device, torch.float64) / 255, labels.to(device)
    ours = _ours(build_network(exact, device, torch.float64), x, labels)
    theirs = _autograds(build_network(exact, device, torch.float64), x, labels)
    layers = spec.layer_shapes()
    floor = 1e-6 * max(float(gradient.norm()) for gradient in theirs.values())
    errors = [0.0] * len(layers)
    for (index, name), gradient in theirs.items():
        distance = float((ours[index, name] - gradient).norm())
        error = distance / max(float(gradient.norm()), floor) if distance else 0.0
        errors[index] = error if error > errors[index] or math.isnan(error) else errors[index]
    _require_small(layers, errors)
    return [
        {"layer": layer.layer, "kind": layer.kind, "error": error if math.isfinite(error) else None}
        for layer, error in zip(layers, errors, strict=True)
    ]


def _ours(network: Network, x: Tensor, labels: Tensor) -> dict[tuple[int, str], Tensor]:
    """Return, by the layer's index and a name, its dx and each of its parameters' gradients."""
    gradients: dict[tuple[int, str], Tensor] = {}

    def probe(index: int, layer_gradients: LayerGradients) -> None:
        assert layer_gradients.dx is not None
        gradients.update({(index, name): gradient for name, gradient in layer_gradients.gradients.items()})
        gradients[index, "dx"] = layer_gradients.dx

    network.gradients(x, labels, probe)
    return gradients


def _autograds(network: Network, x: Tensor, labels: Tensor) -> dict[tuple[int, str], Tensor]:
    """Return the same as autograd derives it from the layers' forward passes and torch's own cross-entropy."""
    leaves: dict[tuple[int, str], Tensor] = {}
    outputs = {IMAGES: x.clone().requires_grad_()}
    with torch.enable_grad():
        for index, (layer, sources) in enumerate(zip(network.layers, network.inputs, strict=True)):
            # An output may enter several layers, each of which has a dx of its own; a view for each tells them apart.
            xs = [outputs[source].view_as(outputs[source]) for source in sources]
            leaves[index, "dx"] = xs[0]
            leaves |= {(index, name): tensor.requires_grad_() for name, tensor in parameters_of(layer).items()}
            outputs[index], _ = layer.forward(*xs)
        gradients = torch.autograd.grad(F.cross_entropy(outputs[index], labels), list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True))


def _require_small(layers: Sequence[LayerShape], errors: Sequence[float]) -> None:
    """Raise WrongGradient if an error is above LIMIT."""
    # In backward order, because a wrong dx makes the gradients of every earlier layer wrong too.
    for layer, error in reversed(list(zip(layers, errors, strict=True))):
        if error > LIMIT:
            raise WrongGradient(
                f"the gradient of layer {layer.layer} ({layer.kind}) is wrong: its relative error against autograd "
                f"is {error:.1e}, above {LIMIT:.0e}; nothing was trained"
            )
