"""Counting tensors' values into histograms: in one pass where a compiler is at hand, else by torch's operators."""

import logging
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from normcore.histograms import native, torch_operators
from normcore.histograms.histogram import MANTISSA_BITS, Histogram
from normcore.histograms.torch_operators import DeviceHistogram

__all__ = ["MANTISSA_BITS", "DeviceHistogram", "Histogram", "count", "fetch", "histogram"]

log = logging.getLogger(__name__)


def count(x: Tensor) -> Histogram | DeviceHistogram:
    """Count the values of x, any shape; other precisions are rounded to float32 first. Nothing waits for a device."""
    if x.device.type == "cpu" and native.library() is not None:
        return native.count(x)
    return _for_cuda()(x) if x.device.type == "cuda" else torch_operators.count(x)


def fetch(counted: Sequence[Histogram | DeviceHistogram]) -> list[Histogram]:
    """What was counted, on the host: one copy for all of it."""
    waiting = iter(torch_operators.fetch([each for each in counted if isinstance(each, DeviceHistogram)]))
    return [next(waiting) if isinstance(each, DeviceHistogram) else each for each in counted]


def histogram(x: Tensor) -> Histogram:
    """The histogram of one tensor, at once."""
    return fetch([count(x)])[0]


@cache
def _for_cuda() -> Callable[[Tensor], DeviceHistogram]:
    """Our kernel, or torch's operators where Triton is not (off Linux) or cannot compile it (GPUs before 2017)."""
    try:
        from normcore.histograms import cuda  # here, for Triton may be absent

        cuda.count(torch.zeros(1, device="cuda"))
    except Exception as error:  # whatever a compiler may raise
        log.warning("histograms are counted by torch's operators, some ten passes: %s", error)
        return torch_operators.count
    return cuda.count
