"""Looking into the layers at one step: the quantities' histograms, taken as the backward pass goes by."""

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

import normcore
from normcore import Gradients
from normcore.histograms import DeviceHistogram, count, fetch
from normcore.network import LayerGradients
from normlab.spec.layer_shape import LayerShape
from normlab.store.histograms import Histogram
from normlab.store.records import Capture

WEIGHTED = ("convolution", "linear")


def layers_to_capture(layers: Sequence[LayerShape], quantities: Collection[str]) -> set[int]:
    """The places of the layers whose backward pass a look at these quantities needs to see."""
    wanted = {kind for kind in WEIGHTED if {"input_gradient", "weight_gradient"} & set(quantities)}
    if {"norm_output_gradient", "norm_input_gradient"} & set(quantities):
        wanted.add("normalization")
    return {place for place, layer in enumerate(layers) if layer.kind in wanted}


class LayerCapture:
    """A probe of one step. What is counted stays on the device until capture() fetches it."""

    def __init__(self, layers: Sequence[LayerShape], quantities: Collection[str]) -> None:
        self._layers, self._quantities = layers, frozenset(quantities)
        self._seen: dict[tuple[int, str], normcore.Histogram | DeviceHistogram] = {}
        # By where the values lie; they are held, so that no others come to lie there while the look lasts.
        self._counted: dict[tuple[object, ...], tuple[Tensor, normcore.Histogram | DeviceHistogram]] = {}

    def __call__(self, place: int, passed: LayerGradients) -> None:
        """Called by the network at each layer of the backward pass."""
        assert passed.dx is not None, "a look asks for the images' gradient too"
        match self._layers[place].kind:
            case "convolution" | "linear":
                self._see(place, "input_gradient", passed.dx)
                self._see(place, "weight_gradient", passed.gradients["weight"])
            case "normalization":
                self._see(place, "norm_output_gradient", passed.dout)
                self._see(place, "norm_input_gradient", passed.dx)

    def see_weights(self, weights: Mapping[int, Tensor], gradients: Gradients) -> None:
        """The weights, by place, that the gradients were taken at."""
        for place, weight in weights.items():
            self._see(place, "weight", weight)
            self._see(place, "weight_minus_gradient", weight - gradients[f"{place}.weight"])

    def see_updates(self, before: Mapping[int, Tensor], after: Mapping[int, Tensor]) -> None:
        """What the optimizer made of the weights, by place."""
        for place, weight in after.items():
            self._see(place, "update", weight - before[place])

    def capture(self, epoch: int, step: int) -> Capture:
        """All that was seen, fetched to the host."""
        seen = dict(sorted(self._seen.items()))
        histograms = fetch(list(seen.values()))
        return Capture(epoch, step, dict(zip(seen, map(_stored, histograms), strict=True)))

    def _see(self, place: int, quantity: str, values: Tensor) -> None:
        if quantity in self._quantities:
            self._seen[self._layers[place].layer, quantity] = self._count(values)

    def _count(self, values: Tensor) -> normcore.Histogram | DeviceHistogram:
        """DeviceHistogram once, though it passes twice: what one layer hands back is what the next one gets."""
        key = (values.data_ptr(), values.shape, values.stride())
        if key not in self._counted:
            self._counted[key] = (values, count(values))
        return self._counted[key][1]


def _stored(seen: normcore.Histogram) -> Histogram:
    finite = seen.minimum <= seen.maximum
    return Histogram(
        bin_index=seen.codes,
        counts=seen.counts,
        zeros=seen.positive_zeros + seen.negative_zeros,
        nans=seen.nans,
        positive_infinities=seen.positive_infinities,
        negative_infinities=seen.negative_infinities,
        minimum=seen.minimum if finite else None,
        maximum=seen.maximum if finite else None,
        total=seen.total,
        total_of_squares=seen.total_of_squares,
    )
