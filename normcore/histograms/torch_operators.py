"""The histogram kernel of torch's operators, for any device. Counts stay on the device until they are fetched."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from normcore.histograms.histogram import BIN_COUNT, Histogram, bin_index

TABLES = 64  # values alternate between them, so that increments of one bin seldom wait for each other


class DeviceHistogram(NamedTuple):
    """A histogram whose tensors are still on the device.

    counts is BIN_COUNT int64, without zeros and values that are not finite. special is 5 int64: positive and negative
    zeros, NaNs, positive and negative infinities. extremes is 2 float32, sums 2 float64.
    """

    counts: Tensor
    special: Tensor
    extremes: Tensor
    sums: Tensor


def count(x: Tensor) -> DeviceHistogram:
    """Count the values of x, of any shape, without a wait for the device.

    Values on Apple's GPUs, which have no float64, are copied to the host first.
    """
    values = x.detach().to(torch.float32).flatten()
    if values.device.type == "mps":
        values = values.cpu()
    finite = values.isfinite()
    zero, negative = values == 0, values.signbit()
    exact = torch.where(finite, values, 0.0).to(torch.float64)
    special = (zero & ~negative, zero & negative, values.isnan(), values.isposinf(), values.isneginf())
    least = torch.where(finite, values, torch.inf)
    greatest = torch.where(finite, values, -torch.inf)
    unlimited = values.new_full((1,), torch.inf)
    return DeviceHistogram(
        counts=_counts(values, finite & ~zero),
        special=torch.stack([each.sum() for each in special]),
        extremes=torch.stack([torch.cat([least, unlimited]).amin(), torch.cat([greatest, -unlimited]).amax()]),
        sums=torch.stack([exact.sum(), (exact * exact).sum()]),
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
    table = torch.arange(len(values), device=values.device) % TABLES
    tables = torch.zeros(TABLES * BIN_COUNT, dtype=torch.int64, device=values.device)
    tables.index_add_(0, table * BIN_COUNT + bin_index(values), counted.to(torch.int64))
    return tables.view(TABLES, BIN_COUNT).sum(0)


def _histogram(fields: Sequence[np.ndarray]) -> Histogram:
    counts, special = fields[0].copy().view(np.int64), fields[1].copy().view(np.int64)
    extremes, sums = fields[2].copy().view(np.float32), fields[3].copy().view(np.float64)
    used = np.flatnonzero(counts)
    return Histogram(
        used.astype(np.uint16), counts[used], *special.tolist(), *extremes.astype(float).tolist(), *sums.tolist()
    )
