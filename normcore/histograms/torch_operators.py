"""Counting by torch's operators, on any device: counts stay there until they are fetched, all in one copy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from normcore.histograms.histogram import CODES, Histogram, bin_index

TABLES = 64  # that values take turns in, so that increments of one bin seldom wait for each other


class DeviceHistogram(NamedTuple):
    """On the device. counts: CODES int64, zeros and what is not finite left out.

    special: 5 int64, positive and negative zeros, NaNs, positive and negative infinities; extremes: 2 float32; sums: 2
    float64.
    """

    counts: Tensor
    special: Tensor
    extremes: Tensor
    sums: Tensor


def count(x: Tensor) -> DeviceHistogram:
    """Count the values of x, any shape, without a wait for the device. Apple's GPUs lack float64: by the host there."""
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


def fetch(counted: Sequence[DeviceHistogram]) -> list[Histogram]:
    """What was counted, on the host: one copy for all of it."""
    if not counted:
        return []
    fields = [torch.stack(field).flatten(1).contiguous().view(torch.uint8) for field in zip(*counted, strict=True)]
    widths = [field.shape[1] for field in fields]
    rows = torch.cat(fields, 1).cpu().numpy()
    return [_histogram(np.split(row, np.cumsum(widths)[:-1])) for row in rows]


def _counts(values: Tensor, counted: Tensor) -> Tensor:
    """Integers added up, so the same in every order. torch.bincount would wait for the device to learn the maximum."""
    place = torch.arange(len(values), device=values.device) % TABLES
    tables = torch.zeros(TABLES * CODES, dtype=torch.int64, device=values.device)
    tables.index_add_(0, place * CODES + bin_index(values), counted.to(torch.int64))
    return tables.view(TABLES, CODES).sum(0)


def _histogram(fields: Sequence[np.ndarray]) -> Histogram:
    counts, special = fields[0].copy().view(np.int64), fields[1].copy().view(np.int64)
    extremes, sums = fields[2].copy().view(np.float32), fields[3].copy().view(np.float64)
    used = np.flatnonzero(counts)
    return Histogram(
        used.astype(np.uint16), counts[used], *special.tolist(), *extremes.astype(float).tolist(), *sums.tolist()
    )
