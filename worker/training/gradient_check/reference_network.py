"""The reference network: the spec's layers built from torch's own functions, which autograd differentiates.

Its forward pass takes each layer's input from the training's own forward pass. So both stand at the same point, and a
value that rounding moves across a kink (a ReLU's 0, the maximum of a window) takes the same side in both. Each layer's
output is compared by itself, and the gradients are those of the whole network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import IMAGES, LayerShape
from worker.training.gradient_check.departures import gradient_factor, pool_gradient_factor
from worker.training.gradient_check.reference_layers import layer_output, next_buffers
from worker.training.gradient_check.reference_optimizer import converted

Named = Mapping[str, Tensor]  # by "index.name"
GradientName = tuple[int, str]  # a layer's index, and "dx" or the name of a parameter


@dataclass(frozen=True)
class Point:
    """Where a training step is compared with the reference: its batch, and the state of the network before it.

    pixels, labels: the batch, N 3 H W uint8 and N int64. outputs: the scaled images, at the index IMAGES, and the
    output of each layer in the step's own forward pass. parameters, buffers: as they were before the step.
    """

    pixels: Tensor
    labels: Tensor
    outputs: dict[int, Tensor]
    parameters: Named
    buffers: Named


@dataclass(frozen=True)
class StepValues:
    """What a training step, or the reference at the step's point, computes.

    outputs: the images, at the index IMAGES, and the output of each layer from the point's inputs of it. gradients: of
    the mean loss, by layer and name.
    """

    loss: Tensor
    correct: Tensor
    outputs: dict[int, Tensor]
    gradients: Mapping[GradientName, Tensor]


class ReferenceNetwork:
    """The network of a spec, in one precision.

    Args:
        spec: The experiment.
        like: A tensor of the precision and on the device of everything that it computes.
        jitter: A relative change, of random sign, of every input of a layer and of every gradient that leaves it. With
            the size of rounding it shows how much of each result is rounding.
    """

    def __init__(self, spec: ExperimentSpec, like: Tensor, *, jitter: float = 0.0) -> None:
        self.spec, self.like, self._jitter = spec, like, jitter
        self._generator = torch.Generator(like.device).manual_seed(0)
        self.layers: Sequence[LayerShape] = spec.layer_shapes()

    def at(self, point: Point, *, true_gradients: bool = False) -> StepValues:
        """Return loss, outputs and gradients.

        The gradients are what the protocol's fields define, or with true_gradients the derivatives themselves.
        """
        parameters, buffers = self._converted(point.parameters), self._converted(point.buffers)
        images = converted(point.outputs[IMAGES], self.like).requires_grad_()
        labels = point.labels.to(self.like.device)
        inputs, outputs = {IMAGES: images}, {IMAGES: point.pixels.to(self.like) / 255}
        leaves: dict[GradientName, Tensor] = {}
        with torch.enable_grad():
            for index, layer in enumerate(self.layers):
                # An output may enter several layers, each of which has a dx of its own. A view for each separates them.
                xs = [inputs[source].view_as(inputs[source]) for source in layer.inputs]
                own = {name: tensor.requires_grad_() for name, tensor in of_layer(parameters, index).items()}
                leaves |= {(index, "dx"): xs[0]} | {(index, name): tensor for name, tensor in own.items()}
                moved = [self._jittered(x, layer) for x in xs]
                out = layer_output(self.spec, index, layer, moved, own, of_layer(buffers, index), training=True)
                outputs[index] = out.detach()
                factor = 1.0 if true_gradients else pool_gradient_factor(self.spec, layer)
                value = converted(point.outputs[index], self.like)
                inputs[index] = _GradientOf.apply(out, value, factor)
            loss = F.cross_entropy(inputs[index], labels)
            gradients = torch.autograd.grad(loss, list(leaves.values()))
        named = dict(zip(leaves, gradients, strict=True))
        if not true_gradients:
            for (layer_index, name), gradient in named.items():
                factor = gradient_factor(self.spec, self.layers[layer_index], name, len(labels))
                named[layer_index, name] = gradient * factor
        correct = (inputs[index].argmax(1) == labels).sum()
        return StepValues(loss.detach(), correct, outputs, named)

    def buffers_after(self, point: Point, buffers: Named) -> dict[str, Tensor]:
        """Return running statistics and counts after the point's batch, from those before it."""
        after: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            x = self._jittered(converted(point.outputs[layer.inputs[0]], self.like), layer)
            own = of_layer(self._converted(buffers), index)
            after |= {f"{index}.{name}": tensor for name, tensor in next_buffers(self.spec, layer, x, own).items()}
        return after

    def test_logits(self, images: Tensor, parameters: Named, buffers: Named) -> Tensor:
        """Return the logits of images, N 3 H W uint8, at test time."""
        parameters, buffers = self._converted(parameters), self._converted(buffers)
        outputs = {IMAGES: images.to(self.like) / 255}
        for index, layer in enumerate(self.layers):
            xs = [self._jittered(outputs[source], layer) for source in layer.inputs]
            own, statistics = of_layer(parameters, index), of_layer(buffers, index)
            outputs[index] = layer_output(self.spec, index, layer, xs, own, statistics, training=False)
        return outputs[index]

    def _jittered(self, x: Tensor, layer: LayerShape) -> Tensor:
        """Return x with its jitter. A layer that selects equal values keeps them equal."""
        if not self._jitter or layer.kind == "max_pool" or layer.variant == "range":
            return x
        signs = torch.randint(0, 2, x.shape, generator=self._generator, device=x.device, dtype=x.dtype) * 2 - 1
        return x * (1 + self._jitter * signs)

    def _converted(self, tensors: Named) -> dict[str, Tensor]:
        return {name: converted(tensor, self.like) for name, tensor in tensors.items()}


def of_layer(tensors: Named, index: int) -> dict[str, Tensor]:
    """Return the tensors of one layer, by their own names."""
    prefix = f"{index}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class _GradientOf(torch.autograd.Function):
    """The value of one tensor with the gradient of another, times a factor."""

    @staticmethod
    def forward(ctx: Any, differentiated: Tensor, value: Tensor, factor: float) -> Tensor:
        """Return the value."""
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return the gradient for the differentiated tensor, and none for the others."""
        return gradients[0] * ctx.factor, None, None
