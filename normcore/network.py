"""A network: layers run forward in order and backward in reverse order, with a probe that can observe each of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from normcore.cross_entropy import cross_entropy
from normcore.layers.layer import (
    DropsInput,
    Gradients,
    Layer,
    Recomputable,
    Weighted,
    buffers_of,
    inference_of,
    parameters_of,
)

IMAGES = -1  # the index, among a layer's inputs, that stands for the batch itself


class LayerGradients(NamedTuple):
    """One layer's backward pass: its arguments and results. dx is None where the images' gradient is not computed."""

    dout: Tensor
    dx: Tensor | None
    gradients: Gradients
    cache: Any


Probe = Callable[[int, LayerGradients], None]  # called with each layer's index and backward pass, last layer first


class Network:
    """Layers and how they are connected; the output of the last one is the logits, N classes.

    Args:
        layers: In the order in which they run forward.
        inputs: For each layer the indices of the earlier layers whose outputs it takes, or IMAGES; by default the layer
            before it.
        recompute: Whether convolutions drop an input that can be computed again, bit for bit, when backward needs it.
            This takes less memory and a little more time.

    Raises ValueError for a layer that takes the output of a later one, and for an output that no layer takes.
    """

    def __init__(
        self, layers: Sequence[Layer], inputs: Sequence[tuple[int, ...]] | None = None, *, recompute: bool = False
    ) -> None:
        self.layers = tuple(layers)
        self.inputs = tuple(inputs) if inputs is not None else tuple((index - 1,) for index in range(len(self.layers)))
        self.recompute = recompute
        last_use = {source: index for index, sources in enumerate(self.inputs) for source in sources}
        if any(not IMAGES <= source < index for index, sources in enumerate(self.inputs) for source in sources):
            raise ValueError("a layer takes the output of one that is not before it")
        if unused := set(range(len(self.layers) - 1)) - last_use.keys():
            raise ValueError(f"nothing takes the output of layer {min(unused)}")
        # The weighted layers that take the images: training needs no dx of theirs.
        self.image_layers = {
            index: layer
            for index, layer in enumerate(self.layers)
            if self.inputs[index] == (IMAGES,) and isinstance(layer, Weighted)
        }
        self._dropped = self._dropped_inputs() if recompute else {}
        self._last_used_by = [
            [source for source, last in last_use.items() if last == index] for index in range(len(self.layers))
        ]

    def forward(self, x: Tensor) -> tuple[Tensor, list[Any]]:
        """Return the logits, N classes, of a batch of images, N C H W, and every layer's cache."""
        caches = []
        dropping = {index: layer for index, (layer, _, _) in self._dropped.items()}

        def forward(index: int, *xs: Tensor) -> Tensor:
            out, cache = self.layers[index].forward(*xs)
            caches.append(dropping[index].without_input(cache) if index in dropping else cache)
            return out

        return self._run(x, forward), caches

    def logits(self, x: Tensor) -> Tensor:
        """Return the output of forward alone. Each cache is freed at once, so this needs the memory of a few layers."""
        return self._run(x, lambda index, *xs: self.layers[index].forward(*xs)[0])

    def backward(
        self,
        dlogits: Tensor,
        caches: list[Any],
        probe: Probe | None = None,
        *,
        images: Callable[[], Tensor],
        images_gradient: bool = False,
    ) -> Gradients:
        """Return the gradient of every parameter, by the names of parameters(). Empties the list of caches.

        Args:
            dlogits: The loss's gradient with respect to the logits, N classes.
            caches: What forward returned.
            probe: Called after each layer's backward pass. It must not change the tensors.
            images: Returns the x of the forward pass again; used where the first layer's input was dropped.
            images_gradient: Whether the first layer computes its dx, which no parameter needs.
        """
        gradients: list[Gradients] = [{}] * len(self.layers)
        image_layers = {} if images_gradient else self.image_layers
        douts = {len(self.layers) - 1: dlogits}
        for index in reversed(range(len(self.layers))):
            layer, dout, cache = self.layers[index], douts.pop(index), caches.pop()
            if index in self._dropped:
                dropping, before, source = self._dropped[index]
                x = images() if before is None else before.recompute_output(caches[source])
                cache = dropping.with_input(cache, x)
            dx: Tensor | None = None
            if index in image_layers:
                gradients[index] = image_layers[index].parameter_gradients(dout, cache)
            else:
                dx, gradients[index] = layer.backward(dout, cache)
                for source in self.inputs[index]:
                    douts[source] = douts[source] + dx if source in douts else dx
            if probe is not None:
                probe(index, LayerGradients(dout, dx, gradients[index], cache))
        return _named(gradients)

    def gradients(self, x: Tensor, labels: Tensor, probe: Probe | None = None) -> tuple[Tensor, Tensor, Gradients]:
        """Return the loss, the logits and every parameter's gradient on one batch of images and labels, N.

        The images' gradient is computed if there is a probe to observe it.
        """
        logits, caches = self.forward(x)
        loss, dlogits = cross_entropy(logits, labels)
        return loss, logits, self.backward(dlogits, caches, probe, images=lambda: x, images_gradient=probe is not None)

    def for_inference(self) -> "Network":
        """Return the network of test time, which shares all tensors with this one.

        Each layer that differs at test time is replaced by a fixed one, and the others are the same objects. The
        forward pass changes nothing, and the backward pass is its derivative.
        """
        return Network([inference_of(layer) for layer in self.layers], self.inputs, recompute=self.recompute)

    def parameters(self) -> dict[str, Tensor]:
        """Return the tensors that training changes, by "index.name"."""
        return _named([parameters_of(layer) for layer in self.layers])

    def buffers(self) -> dict[str, Tensor]:
        """Return the running statistics and counts, by "index.name"."""
        return _named([buffers_of(layer) for layer in self.layers])

    def first_nonfinite(self, x: Tensor) -> int | None:
        """Return the index of the first layer whose output on a training batch holds a NaN or an infinity, or None."""
        finite = []

        def forward(index: int, *xs: Tensor) -> Tensor:
            out, _ = self.layers[index].forward(*xs)
            finite.append(bool(torch.isfinite(out).all()))
            return out

        self._run(x, forward)
        return finite.index(False) if False in finite else None

    def _dropped_inputs(self) -> dict[int, tuple[DropsInput, Recomputable | None, int]]:
        """Return, by index, each layer that drops its input, the layer that recomputes it, and that one's index.

        The images are recomputed by no layer: there the layer is None.
        """
        dropped: dict[int, tuple[DropsInput, Recomputable | None, int]] = {}
        for index, (source, *_) in enumerate(self.inputs):
            layer, before = self.layers[index], self.layers[source]
            if not isinstance(layer, DropsInput):
                continue
            if source == IMAGES:
                dropped[index] = layer, None, source
            elif isinstance(before, Recomputable):
                dropped[index] = layer, before, source
        return dropped

    def _run(self, x: Tensor, forward: Callable[..., Tensor]) -> Tensor:
        """Return the last layer's output by forward(index, *inputs). Each output is freed after its last use."""
        outputs = {IMAGES: x}
        for index in range(len(self.layers)):
            outputs[index] = forward(index, *(outputs[source] for source in self.inputs[index]))
            for source in self._last_used_by[index]:
                del outputs[source]
        return outputs[len(self.layers) - 1]


def _named(tensors_by_index: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return all layers' tensors in one dict, by "index.name"."""
    return {f"{index}.{name}": each for index, tensors in enumerate(tensors_by_index) for name, each in tensors.items()}
