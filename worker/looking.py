"""Looking into the layers at one step: the quantities' histograms, taken as the backward pass goes by."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from torch import Tensor

import normcore
from normcore import Gradients
from normcore.network import Passed
from service.experiments.histograms import Histogram
from service.experiments.records import Capture
from service.experiments.resolved import ResolvedLayer

WEIGHTED = ("convolution", "linear")


def looked_at(layers: Sequence[ResolvedLayer], quantities: Collection[str]) -> set[int]:
    """The places of the layers whose backward pass a look at these quantities needs to see."""
    wanted = {kind for kind in WEIGHTED if {"input_gradient", "weight_gradient"} & set(quantities)}
    if {"norm_output_gradient", "norm_input_gradient"} & set(quantities):
        wanted.add("normalization")
    return {place for place, layer in enumerate(layers) if layer.kind in wanted}


class Look:
    """A probe of one step. Its histograms stay on the device until capture() fetches them."""

    def __init__(self, layers: Sequence[ResolvedLayer], quantities: Collection[str]) -> None:
        self._layers, self._quantities = layers, frozenset(quantities)
        self._seen: dict[tuple[int, str], normcore.Histogram] = {}

    def __call__(self, place: int, passed: Passed) -> None:
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
        return Capture(epoch, step, {key: _on_host(seen) for key, seen in sorted(self._seen.items())})

    def _see(self, place: int, quantity: str, values: Tensor) -> None:
        if quantity in self._quantities:
            self._seen[self._layers[place].layer, quantity] = normcore.histogram(values)


def _on_host(seen: normcore.Histogram) -> Histogram:
    """As it is stored: only the bins that hold something, zeros and non-finite values beside them."""
    counts = seen.counts.cpu().numpy().copy()
    # The lowest bin of each sign holds the smallest denormals beside its zeros, which are stored apart.
    counts[0] -= int(seen.positive_zeros)
    counts[len(counts) // 2] -= int(seen.negative_zeros)
    codes = np.flatnonzero(counts)
    codes = codes[(codes & _EXPONENT) != _EXPONENT]  # an exponent of all ones is an infinity or a NaN
    minimum, maximum = float(seen.minimum), float(seen.maximum)
    finite = minimum <= maximum
    return Histogram(
        codes=codes.astype(np.uint16),
        counts=counts[codes],
        zeros=int(seen.positive_zeros) + int(seen.negative_zeros),
        nans=int(seen.nans),
        positive_infinities=int(seen.positive_infinities),
        negative_infinities=int(seen.negative_infinities),
        minimum=minimum if finite else None,
        maximum=maximum if finite else None,
        total=float(seen.total),
        total_of_squares=float(seen.total_of_squares),
    )


_EXPONENT = 0xFF << normcore.MANTISSA_BITS
