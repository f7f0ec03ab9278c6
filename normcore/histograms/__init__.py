"""Histograms of tensors' values, by one of three histogram kernels: native (C++), cuda (Triton), torch's operators."""

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
    """Count the values of x, of any shape, without a wait for the device. Other precisions are rounded to float32."""
    if x.device.type == "cpu" and native.library() is not None:
        return native.count(x)
    return _cuda_kernel()(x) if x.device.type == "cuda" else torch_operators.count(x)


def fetch(histograms: Sequence[Histogram | DeviceHistogram]) -> list[Histogram]:
    """Return the histograms on the host, after one copy for all of them."""
    fetched = iter(torch_operators.fetch([each for each in histograms if isinstance(each, DeviceHistogram)]))
    return [next(fetched) if isinstance(each, DeviceHistogram) else each for each in histograms]


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
