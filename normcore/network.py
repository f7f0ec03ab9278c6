"""A network: a list of layers run forward in order and backward in reverse, open to a probe on the way."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from normcore.cross_entropy import cross_entropy
from normcore.layer import Gradients, Layer


class Probe(Protocol):
    """Sees each layer's gradients as the backward pass makes them; must not change them."""

    def __call__(self, place: int, dout: Tensor, dx: Tensor, gradients: Gradients) -> None:
        """place: the layer's index in the list; dout and dx as its output and input; gradients by parameter."""
        ...


class Network:
    """Layers in a row, the last one's output N K being the classes' scores."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Any]]:
        """Scores, N K, of a training batch, N C H W, and every layer's cache."""
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x)
            caches.append(cache)
        return x, caches

    def infer(self, x: Tensor) -> Tensor:
        """Scores, N K, at test time."""
        for layer in self.layers:
            x = layer.infer(x)
        return x

    def backward(self, dscores: Tensor, caches: list[Any], probe: Probe | None = None) -> Gradients:
        """The gradient of every parameter, by the names of parameters(). Empties the list of caches on its way."""
        by_place: list[Gradients] = [{}] * len(self.layers)
        dout = dscores
        for place in reversed(range(len(self.layers))):
            dx, gradients = self.layers[place].backward(dout, caches.pop())
            if probe is not None:
                probe(place, dout, dx, gradients)
            by_place[place] = gradients
            dout = dx
        return _named(by_place)

    def gradients(self, x: Tensor, labels: Tensor, probe: Probe | None = None) -> tuple[Tensor, Tensor, Gradients]:
        """Loss (scalar), scores (N K) and every parameter's gradient on one training batch, x N C H W and labels N."""
        scores, caches = self.forward(x)
        loss, dscores = cross_entropy(scores, labels)
        return loss, scores, self.backward(dscores, caches, probe)

    def parameters(self) -> dict[str, Tensor]:
        """What training changes, by "index.name"."""
        return _named([layer.parameters() for layer in self.layers])

    def buffers(self) -> dict[str, Tensor]:
        """Running statistics, by "index.name"."""
        return _named([layer.buffers() for layer in self.layers])

    def first_nonfinite(self, x: Tensor) -> int | None:
        """The index of the first layer whose output on a training batch holds a NaN or an infinity; None if none."""
        for place, layer in enumerate(self.layers):
            x, _ = layer.forward(x)
            if not torch.isfinite(x).all():
                return place
        return None


def _named(by_place: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One dict out of every layer's own, the names preceded by the layer's index."""
    return {f"{place}.{name}": tensor for place, tensors in enumerate(by_place) for name, tensor in tensors.items()}
