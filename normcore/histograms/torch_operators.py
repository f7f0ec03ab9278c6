"""The histogram kernel of torch's operators, for any device. Counts stay on the device until they are fetched."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from normcore.histograms.histogram import BIN_COUNT, MANTISSA_BITS, Histogram, bin_index
from normcore.histograms.octaves import compact, expand


class DeviceHistogram(NamedTuple):
    """A histogram whose tensors are still on the device.

    counts is int32, without zeros and values that are not finite, as octaves.compact returns it. special is 5 int64:
    positive and negative zeros, NaNs, positive and negative infinities. extremes is 2 float32. moments is 2 float64:
    the mean and the sum of the squared deviations from it.
    """

    counts: Tensor
    special: Tensor
    extremes: Tensor
    moments: Tensor


def count(x: Tensor) -> DeviceHistogram:
    """Count the values of x, of any shape, without a wait for the device.

    Values on Apple's GPUs, which have no float64, are copied to the host first.
    """
    values = x.detach().to(torch.float32).flatten()
    if values.device.type == "mps":
        values = values.cpu()
    finite = values.isfinite()
    zero, negative = values == 0, values.signbit()
    special = (zero & ~negative, zero & negative, values.isnan(), values.isposinf(), values.isneginf())
    least = torch.where(finite, values, torch.inf)
    greatest = torch.where(finite, values, -torch.inf)
    unlimited = values.new_full((1,), torch.inf)
    extremes = torch.stack([torch.cat([least, unlimited]).amin(), torch.cat([greatest, -unlimited]).amax()])
    return DeviceHistogram(
        counts=compact(_counts(values, finite & ~zero), extremes),
        special=torch.stack([each.sum() for each in special]),
        extremes=extremes,
        moments=_moments(values, finite),
    )


def fetch(histograms: Sequence[DeviceHistogram]) -> list[Histogram]:
    """Return the histograms on the host, after one copy for all of them."""
    if not histograms:
        return []
    fields = [torch.stack(field).flatten(1).contiguous().view(torch.uint8) for field in zip(*histograms, strict=True)]
    widths = [field.shape[1] for field in fields]
    rows = torch.cat(fields, 1).cpu().numpy()
    return [_histogram(np.split(row, np.cumsum(widths)[:-1])) for row in rows]


def _counts(values: Tensor, counted: Tensor) -> Tensor:
    """Return the counts of the counted values. torch.bincount would wait for the device, to learn the maximum.

    Integers give the same sum in every order.
    """
    table = torch.zeros(BIN_COUNT, dtype=torch.int32, device=values.device)
    return table.index_add_(0, bin_index(values), counted.to(torch.int32))


def _moments(values: Tensor, finite: Tensor) -> Tensor:
    """Return the mean of the finite values and the sum of the squared deviations from it, in two passes.

    The deviations are taken from a shift that is one of the values, since the sums of values that are far from 0 would
    lose the digits in which they differ.
    """
    exact = torch.where(finite, values, 0.0).to(torch.float64)
    count = finite.sum().clamp(min=1)
    first = torch.cat([finite, finite.new_ones(1)]).to(torch.uint8).argmax()  # without a finite value the 0 at the end
    shift = torch.cat([exact, exact.new_zeros(1)]).index_select(0, first.view(1))
    deviations = torch.where(finite, exact - shift, 0.0)
    differences = torch.where(finite, deviations - deviations.sum() / count, 0.0)
    return torch.stack([exact.sum() / count, differences.square().sum()])


def _histogram(fields: Sequence[np.ndarray]) -> Histogram:
    counts, special = fields[0].copy().view(np.int32), fields[1].copy().view(np.int64)
    extremes, moments = fields[2].copy().view(np.float32), fields[3].copy().view(np.float64)
    return Histogram(
        MANTISSA_BITS,
        *expand(counts, extremes),
        *special.tolist(),
        *extremes.astype(float).tolist(),
        *moments.tolist(),
    )
