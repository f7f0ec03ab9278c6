"""A network: layers run forward in order and backward in reverse, open to a probe on the way."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from normcore.cross_entropy import cross_entropy
from normcore.layers.layer import DropsInput, Gradients, Layer, Recomputable, Weighted

IMAGES = -1  # where a layer takes the batch itself


class LayerGradients(NamedTuple):
    """What one layer's backward pass took and made. dx is None where the images' gradient was left out."""

    dout: Tensor
    dx: Tensor | None
    gradients: Gradients
    cache: Any


Probe = Callable[
    [int, LayerGradients], None
]  # shown each layer's place and backward pass, last layer first; changes nothing


class Network:
    """Layers, the last one's output N K being the classes' logits.

    inputs: for each layer the places of the layers before it whose outputs it takes, or IMAGES; by default the one
    layer before it. lean: whether convolutions forget an input that can be made again, to the bit, when the backward
    pass needs it.

    Raises ValueError for a layer that takes what is not made yet or makes what nothing takes.
    """

    def __init__(
        self, layers: Sequence[Layer], inputs: Sequence[tuple[int, ...]] | None = None, *, recompute: bool = False
    ) -> None:
        self.layers = tuple(layers)
        self.inputs = tuple(inputs) if inputs is not None else tuple((place - 1,) for place in range(len(self.layers)))
        last_use = {source: place for place, sources in enumerate(self.inputs) for source in sources}
        if any(not IMAGES <= source < place for place, sources in enumerate(self.inputs) for source in sources):
            raise ValueError("a layer takes the output of one that is not before it")
        if unused := set(range(len(self.layers) - 1)) - last_use.keys():
            raise ValueError(f"nothing takes the output of layer {min(unused)}")
        self.first = {
            place: layer
            for place, layer in enumerate(self.layers)
            if self.inputs[place] == (IMAGES,) and isinstance(layer, Weighted)
        }
        self._remade = self._forgotten() if recompute else {}
        self._done_after = [
            [source for source, last in last_use.items() if last == place] for place in range(len(self.layers))
        ]

    def forward(self, x: Tensor) -> tuple[Tensor, list[Any]]:
        """Scores, N K, of a training batch, N C H W, and every layer's cache."""
        caches = []
        forgetful = {place: layer for place, (layer, _, _) in self._remade.items()}

        def forward(place: int, *xs: Tensor) -> Tensor:
            out, cache = self.layers[place].forward(*xs)
            caches.append(forgetful[place].without_input(cache) if place in forgetful else cache)
            return out

        return self._run(x, forward), caches

    def infer(self, x: Tensor) -> Tensor:
        """Scores, N K, at test time."""
        return self._run(x, lambda place, *xs: self.layers[place].infer(*xs))

    def backward(
        self,
        dlogits: Tensor,
        caches: list[Any],
        probe: Probe | None = None,
        *,
        images: Callable[[], Tensor],
        images_gradient: bool = False,
    ) -> Gradients:
        """The gradient of every parameter, by the names of parameters(). Empties the list of caches on its way.

        images: makes the x of the forward pass again, for a lean network forgets it too. images_gradient: whether the
        first layer makes it; nothing is trained by it.
        """
        by_place: list[Gradients] = [{}] * len(self.layers)
        first = {} if images_gradient else self.first
        douts = {len(self.layers) - 1: dlogits}
        for place in reversed(range(len(self.layers))):
            layer, dout, cache = self.layers[place], douts.pop(place), caches.pop()
            if place in self._remade:
                forgetful, before, source = self._remade[place]
                cache = forgetful.with_input(
                    cache, images() if before is None else before.recompute_output(caches[source])
                )
            dx: Tensor | None = None
            if place in first:
                by_place[place] = first[place].parameter_gradients(dout, cache)
            else:
                dx, by_place[place] = layer.backward(dout, cache)
                for source in self.inputs[place]:
                    douts[source] = douts[source] + dx if source in douts else dx
            if probe is not None:
                probe(place, LayerGradients(dout, dx, by_place[place], cache))
        return _named(by_place)

    def gradients(self, x: Tensor, labels: Tensor, probe: Probe | None = None) -> tuple[Tensor, Tensor, Gradients]:
        """Loss (scalar), logits (N K) and every parameter's gradient on one training batch, x N C H W and labels N.

        The gradient of the images is made if there is a probe to see it.
        """
        logits, caches = self.forward(x)
        loss, dlogits = cross_entropy(logits, labels)
        return loss, logits, self.backward(dlogits, caches, probe, images=lambda: x, images_gradient=probe is not None)

    def parameters(self) -> dict[str, Tensor]:
        """What training changes, by "index.name"."""
        return _named([layer.parameters() for layer in self.layers])

    def buffers(self) -> dict[str, Tensor]:
        """Running statistics, by "index.name"."""
        return _named([layer.buffers() for layer in self.layers])

    def first_nonfinite(self, x: Tensor) -> int | None:
        """The index of the first layer whose output on a training batch holds a NaN or an infinity; None if none."""
        finite = []

        def forward(place: int, *xs: Tensor) -> Tensor:
            out, _ = self.layers[place].forward(*xs)
            finite.append(bool(torch.isfinite(out).all()))
            return out

        self._run(x, forward)
        return finite.index(False) if False in finite else None

    def _forgotten(self) -> dict[int, tuple[DropsInput, Recomputable | None, int]]:
        """By place: the layer that forgets its input, what makes it again (None: the images), and where that is."""
        found: dict[int, tuple[DropsInput, Recomputable | None, int]] = {}
        for place, (source, *_) in enumerate(self.inputs):
            forgetful, before = self.layers[place], self.layers[source]
            if not isinstance(forgetful, DropsInput):
                continue
            if source == IMAGES:
                found[place] = forgetful, None, source
            elif isinstance(before, Recomputable):
                found[place] = forgetful, before, source
        return found

    def _run(self, x: Tensor, forward: Callable[..., Tensor]) -> Tensor:
        """The last layer's output; forward(place, *inputs) is every layer's. What nothing takes any more is let go."""
        outputs = {IMAGES: x}
        for place in range(len(self.layers)):
            outputs[place] = forward(place, *(outputs[source] for source in self.inputs[place]))
            for source in self._done_after[place]:
                del outputs[source]
        return outputs[len(self.layers) - 1]


def _named(by_place: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One dict out of every layer's own, the names preceded by the layer's index."""
    return {f"{place}.{name}": tensor for place, tensors in enumerate(by_place) for name, tensor in tensors.items()}
