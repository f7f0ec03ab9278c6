"""A capture of the layers at one step: histograms of the chosen quantities, counted during the backward pass."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from torch import Tensor

import normcore
from normcore import Gradients
from normcore.histograms import Counted, count, fetch
from normcore.network import LayerGradients
from normlab.spec.layer_shape import LayerShape
from normlab.store.histogram_bins import MAX_BITS
from normlab.store.histograms import Histogram
from normlab.store.records import Capture

WEIGHTED = ("convolution", "linear")


def layers_to_capture(layers: Sequence[LayerShape], quantities: Collection[str]) -> set[int]:
    """Return the indices of the layers whose backward pass a capture of these quantities must observe."""
    kinds = {kind for kind in WEIGHTED if {"input_gradient", "weight_gradient"} & set(quantities)}
    if {"norm_output_gradient", "norm_input_gradient"} & set(quantities):
        kinds.add("normalization")
    return {index for index, layer in enumerate(layers) if layer.kind in kinds}


class LayerCapture:
    """A probe of one step. Its histograms stay on the device until fetch() copies them to the host.

    Args:
        layers: The network's layers, from the spec.
        quantities: The names of the quantities to capture.
    """

    def __init__(self, layers: Sequence[LayerShape], quantities: Collection[str]) -> None:
        self._layers, self._quantities = layers, frozenset(quantities)
        self._captured: dict[tuple[int, str], Counted] = {}
        # By the values' address. The values are kept, so that during the capture the address is not used again.
        self._histograms: dict[tuple[object, ...], tuple[Tensor, Counted]] = {}

    def __call__(self, index: int, layer_gradients: LayerGradients) -> None:
        """Capture one layer's gradients. The network calls this for each layer of the backward pass."""
        assert layer_gradients.dx is not None, "a captured step computes the images' gradient too"
        match self._layers[index].kind:
            case "convolution" | "linear":
                self._count(index, "input_gradient", layer_gradients.dx)
                self._count(index, "weight_gradient", layer_gradients.gradients["weight"])
            case "normalization":
                self._count(index, "norm_output_gradient", layer_gradients.dout)
                self._count(index, "norm_input_gradient", layer_gradients.dx)

    def capture_weights(self, weights: Mapping[int, Tensor], gradients: Gradients) -> None:
        """Capture the weights, by layer index, at which the gradients were computed."""
        for index, weight in weights.items():
            self._count(index, "weight", weight)
            if "weight_minus_gradient" in self._quantities:
                self._count(index, "weight_minus_gradient", weight - gradients[f"{index}.weight"])

    def capture_updates(self, before: Mapping[int, Tensor], after: Mapping[int, Tensor]) -> None:
        """Capture how the optimizer changed the weights, by layer index."""
        if "update" in self._quantities:
            for index, weight in after.items():
                self._count(index, "update", weight - before[index])

    def fetch(self, epoch: int, step: int) -> Capture:
        """Return everything captured, fetched to the host."""
        captured = dict(sorted(self._captured.items()))
        histograms = fetch(list(captured.values()))
        return Capture(epoch, step, dict(zip(captured, map(to_stored, histograms), strict=True)))

    def _count(self, index: int, quantity: str, values: Tensor) -> None:
        if quantity in self._quantities:
            self._captured[self._layers[index].layer, quantity] = self._histogram(values)

    def _histogram(self, values: Tensor) -> Counted:
        """Return the values' histogram. Each tensor is counted once: a layer's dx is the dout of the one before it."""
        key = (values.data_ptr(), values.shape, values.stride())
        if key not in self._histograms:
            self._histograms[key] = (values, count(values))
        return self._histograms[key][1]


def to_stored(histogram: normcore.Histogram) -> Histogram:
    """Return a counted histogram as it is stored, with the bins that its pictures need."""
    finite = histogram.finite > 0
    return Histogram.compact(
        histogram.bin_index << np.uint32(MAX_BITS - histogram.mantissa_bits),
        histogram.counts,
        histogram.mantissa_bits,
        finite=histogram.finite,
        zeros=histogram.positive_zeros + histogram.negative_zeros,
        nans=histogram.nans,
        positive_infinities=histogram.positive_infinities,
        negative_infinities=histogram.negative_infinities,
        minimum=histogram.minimum if finite else None,
        maximum=histogram.maximum if finite else None,
        mean=histogram.mean if finite else None,
        squared_deviations=histogram.squared_deviations,
    )
