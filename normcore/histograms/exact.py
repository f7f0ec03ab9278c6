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
    finite = values[np.isfinite(values)]
    bits = finite.view(np.uint32)
    nonzero = np.sort(bits[finite != 0])
    starts = np.flatnonzero(np.concatenate([nonzero[:1] > 0, nonzero[1:] != nonzero[:-1]]))
    negative_zeros = int(np.count_nonzero(bits == 0x80000000))
    positive_infinities, negative_infinities = (int(np.count_nonzero(values == each)) for each in (np.inf, -np.inf))
    return Histogram(
        mantissa_bits=MANTISSA_BITS,
        bin_index=nonzero[starts],
        counts=np.diff(starts, append=len(nonzero)),
        positive_zeros=len(finite) - len(nonzero) - negative_zeros,
        negative_zeros=negative_zeros,
        nans=len(values) - len(finite) - positive_infinities - negative_infinities,
        positive_infinities=positive_infinities,
        negative_infinities=negative_infinities,
        minimum=float(finite.min(initial=np.inf)),
        maximum=float(finite.max(initial=-np.inf)),
        **_moments(finite),
    )


def _moments(finite: NDArray[np.float32]) -> dict[str, float]:
    """Return the mean and the sum of the squared deviations from it, in two passes about a shift: the first value.

    Sums of values that are far from 0 would lose the digits in which they differ.
    """
    if not len(finite):
        return {"mean": 0.0, "squared_deviations": 0.0}
    values = finite.astype(np.float64)
    deviations = values - values[0]
    deviations -= deviations.mean()
    return {"mean": float(values.mean()), "squared_deviations": float(np.dot(deviations, deviations))}
