"""The histogram of a small tensor, on the host: each distinct value has a bin of its own.

A picture of few values needs finer bins than one of many, and sorting few values takes as long as the kernels' tables.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normcore.histograms.histogram import Histogram

MAX_VALUES = 16_384
MANTISSA_BITS = 23  # all of a float32
# The lowest bits of the positive values, +inf, positive NaNs, −0, the negative values, −inf and negative NaNs. +0 is 0.
FIRST_BITS = np.array([1, 0x7F800000, 0x7F800001, 0x80000000, 0x80000001, 0xFF800000, 0xFF800001], dtype=np.uint32)


class DeviceValues(NamedTuple):
    """A copy of a small tensor's values, float32 of shape (n,), still on the device."""

    values: Tensor


def copy(x: Tensor) -> DeviceValues:
    """Copy the values of x, of any shape, on their device. Other precisions are rounded to float32."""
    return DeviceValues(x.detach().to(torch.float32, copy=True).flatten())


def count(x: Tensor) -> Histogram:
    """Return the histogram of a tensor of any shape. Waits for the tensor's device."""
    return count_values(x.detach().to(torch.float32).flatten().cpu().numpy())


def fetch(copies: Sequence[DeviceValues]) -> list[Histogram]:
    """Return the histograms of values on a device, after one copy for all of them."""
    if not copies:
        return []
    values = torch.cat([each.values for each in copies]).cpu().numpy()
    ends = np.cumsum([len(each.values) for each in copies])
    return [count_values(each) for each in np.split(values, ends[:-1])]


def count_values(values: NDArray[np.float32]) -> Histogram:
    """Return the histogram of float32 values, of shape (n,)."""
    bits = np.sort(values.view(np.uint32))
    kinds = np.split(bits, np.searchsorted(bits, FIRST_BITS))
    positive_zeros, positive, positive_infinities, _, negative_zeros, negative, negative_infinities, _ = kinds
    nonzero = np.concatenate([positive, negative])
    starts = np.flatnonzero(np.concatenate([nonzero[:1] > 0, nonzero[1:] != nonzero[:-1]]))
    finite = len(nonzero) + len(positive_zeros) + len(negative_zeros)
    numbers = values if finite == len(values) else values[np.isfinite(values)]
    minimum, maximum, mean, squared_deviations = _moments(numbers)
    return Histogram(
        mantissa_bits=MANTISSA_BITS,
        bin_index=nonzero[starts],
        counts=np.diff(starts, append=len(nonzero)),
        positive_zeros=len(positive_zeros),
        negative_zeros=len(negative_zeros),
        nans=len(values) - finite - len(positive_infinities) - len(negative_infinities),
        positive_infinities=len(positive_infinities),
        negative_infinities=len(negative_infinities),
        minimum=minimum,
        maximum=maximum,
        mean=mean,
        squared_deviations=squared_deviations,
    )


def _moments(finite: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Return the minimum, the maximum, the mean and the sum of the squared deviations from it.

    Two passes about a shift, the first value: sums of values that are far from 0 would lose the digits in which they
    differ.
    """
    if not len(finite):
        return np.inf, -np.inf, 0.0, 0.0
    values = finite.astype(np.float64)
    deviations = values - values[0]
    deviations -= deviations.sum() / len(values)
    # Not np.dot: above 10,000 values it uses threads, whose start takes a hundred times as long as the sum, and whose
    # number changes the last bits.
    squares = float(np.square(deviations, out=deviations).sum())
    return float(finite.min()), float(finite.max()), float(values.sum()) / len(values), squares
