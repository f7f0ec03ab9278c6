"""A certificate for an experiment's gradients: its own network, once, in float64, beside autograd on a real mini-batch.

The only place in the worker that asks autograd, and only to check what training then does without it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normcore import Network
from normcore.network import IMAGES, LayerGradients
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape
from worker.training.build_network import build_network

LIMIT = 1e-8  # beyond this a formula is wrong; rounding stays some six digits below
# Where the 2018 notebook's gradients depart from the true ones on purpose, the true ones are checked.
EXACT = {"pool_gradient": "exact", "filter_gradient": "exact", "lambda_gradient": "sum"}


class WrongGradient(Exception):
    """A hand-written gradient is not autograd's; the message names the layer."""


def check_gradients(spec: ExperimentSpec, images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Per layer the largest relative error ‖ours − autograd's‖ / ‖autograd's‖ of the gradients it passes on and makes.

    A gradient smaller than a millionth of the network's largest is measured against that millionth, since nothing but
    rounding is left of it. An error is None where a gradient is not finite.

    images: N 3 H W uint8; labels: N. Raises WrongGradient if an error is above LIMIT.
    """
    # MPS has no float64.
    device = torch.device("cpu") if images.device.type == "mps" else images.device
    exact, x, labels = spec.model_copy(update=EXACT), images.to(device, torch.float64) / 255, labels.to(device)
    ours = _ours(build_network(exact, device, torch.float64), x, labels)
    theirs = _autograds(build_network(exact, device, torch.float64), x, labels)
    layers = spec.layer_shapes()
    floor = 1e-6 * max(float(gradient.norm()) for gradient in theirs.values())
    errors = [0.0] * len(layers)
    for (place, name), gradient in theirs.items():
        distance = float((ours[place, name] - gradient).norm())
        error = distance / max(float(gradient.norm()), floor) if distance else 0.0
        errors[place] = error if error > errors[place] or math.isnan(error) else errors[place]
    _refuse_a_wrong_one(layers, errors)
    return [
        {"layer": layer.layer, "kind": layer.kind, "error": error if math.isfinite(error) else None}
        for layer, error in zip(layers, errors, strict=True)
    ]


def _ours(network: Network, x: Tensor, labels: Tensor) -> dict[tuple[int, str], Tensor]:
    """By the layer's place: what it passes on, and each of its parameters' gradients."""
    found: dict[tuple[int, str], Tensor] = {}

    def probe(place: int, passed: LayerGradients) -> None:
        assert passed.dx is not None
        found.update({(place, name): gradient for name, gradient in passed.gradients.items()})
        found[place, "dx"] = passed.dx

    network.gradients(x, labels, probe)
    return found


def _autograds(network: Network, x: Tensor, labels: Tensor) -> dict[tuple[int, str], Tensor]:
    """The same by differentiating the layers' forward passes and torch's own cross-entropy."""
    leaves: dict[tuple[int, str], Tensor] = {}
    outputs = {IMAGES: x.clone().requires_grad_()}
    with torch.enable_grad():
        for place, (layer, sources) in enumerate(zip(network.layers, network.inputs, strict=True)):
            # Views: an output may enter several layers, and each passes a gradient of its own on.
            xs = [outputs[source].view_as(outputs[source]) for source in sources]
            leaves[place, "dx"] = xs[0]
            leaves |= {(place, name): tensor.requires_grad_() for name, tensor in layer.parameters().items()}
            outputs[place], _ = layer.forward(*xs)
        found = torch.autograd.grad(F.cross_entropy(outputs[place], labels), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def _refuse_a_wrong_one(layers: Sequence[LayerShape], errors: Sequence[float]) -> None:
    # From the end, as gradients go: what is passed on wrong makes every earlier layer's wrong too.
    for layer, error in reversed(list(zip(layers, errors, strict=True))):
        if error > LIMIT:
            raise WrongGradient(
                f"the gradient of layer {layer.layer} ({layer.kind}) is wrong: its relative error beside autograd is "
                f"{error:.1e}, above {LIMIT:.0e}; nothing was trained"
            )
