"""Counting tensors' values into histograms: in one pass where a compiler is at hand, else by torch's operators."""

import logging
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from normcore.counting import native, on_device
from normcore.counting.on_device import Counted
from normcore.histogram import Histogram

__all__ = ["Counted", "count", "fetch", "histogram"]

log = logging.getLogger(__name__)


def count(x: Tensor) -> Histogram | Counted:
    """Count the values of x, any shape; other precisions are rounded to float32 first. Nothing waits for a device."""
    if x.device.type == "cpu" and native.library() is not None:
        return native.count(x)
    return _for_cuda()(x) if x.device.type == "cuda" else on_device.count(x)


def fetch(counted: Sequence[Histogram | Counted]) -> list[Histogram]:
    """What was counted, on the host: one copy for all of it."""
    waiting = iter(on_device.fetch([each for each in counted if isinstance(each, Counted)]))
    return [next(waiting) if isinstance(each, Counted) else each for each in counted]


def histogram(x: Tensor) -> Histogram:
    """The histogram of one tensor, at once."""
    return fetch([count(x)])[0]


@cache
def _for_cuda() -> Callable[[Tensor], Counted]:
    """Our kernel, or torch's operators where Triton is not (off Linux) or cannot compile it (GPUs before 2017)."""
    try:
        from normcore.counting import on_cuda  # here, for Triton may be absent

        on_cuda.count(torch.zeros(1, device="cuda"))
    except Exception as error:  # whatever a compiler may raise
        log.warning("histograms are counted by torch's operators, some ten passes: %s", error)
        return on_device.count
    return on_cuda.count
