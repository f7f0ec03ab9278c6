"""Histograms of tensors' values, by one of three histogram kernels: native (C++), cuda (Triton), torch's operators.

Small tensors need no kernel: their values are sorted on the host.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from normcore.histograms import exact, native, torch_operators
from normcore.histograms.exact import DeviceValues
from normcore.histograms.histogram import MANTISSA_BITS, Histogram
from normcore.histograms.torch_operators import DeviceHistogram

__all__ = ["MANTISSA_BITS", "Counted", "DeviceHistogram", "DeviceValues", "Histogram", "count", "fetch", "histogram"]

Counted = Histogram | DeviceHistogram | DeviceValues

log = logging.getLogger(__name__)


def count(x: Tensor) -> Counted:
    """Count the values of x, of any shape, without a wait for the device. Other precisions are rounded to float32."""
    if x.numel() <= exact.MAX_VALUES:
        return exact.count(x) if x.device.type == "cpu" else exact.copy(x)
    if x.device.type == "cpu" and native.library() is not None:
        return native.count(x)
    return _cuda_kernel()(x) if x.device.type == "cuda" else torch_operators.count(x)


def fetch(histograms: Sequence[Counted]) -> list[Histogram]:
    """Return the histograms on the host, after one copy for all tables and one for all small tensors."""
    tables = iter(torch_operators.fetch([each for each in histograms if isinstance(each, DeviceHistogram)]))
    small = iter(exact.fetch([each for each in histograms if isinstance(each, DeviceValues)]))
    return [
        next(tables) if isinstance(each, DeviceHistogram) else next(small) if isinstance(each, DeviceValues) else each
        for each in histograms
    ]


def histogram(x: Tensor) -> Histogram:
    """Return the histogram of one tensor; waits for the device."""
    return fetch([count(x)])[0]


@cache
def _cuda_kernel() -> Callable[[Tensor], DeviceHistogram]:
    """Return our kernel, or torch's operators where Triton is absent (off Linux) or fails (on GPUs before 2017)."""
    try:
        from normcore.histograms import cuda  # imported here, because Triton may be absent

        cuda.count(torch.zeros(1, device="cuda"))
    except Exception as error:  # a compiler may raise anything
        log.warning("histograms use torch's operators, about ten passes over memory: %s", error)
        return torch_operators.count
    return cuda.count
