"""Counting tensors' values into histograms: by our own loop on a CPU with a compiler, else by torch's operators."""

from collections.abc import Sequence

from torch import Tensor

from normcore.counting import native, on_device
from normcore.counting.on_device import Counted
from normcore.histogram import Histogram

__all__ = ["Counted", "count", "fetch", "histogram"]


def count(x: Tensor) -> Histogram | Counted:
    """Count the values of x, any shape; other precisions are rounded to float32 first. Nothing waits for a device."""
    if x.device.type == "cpu" and native.library() is not None:
        return native.count(x)
    return on_device.count(x)


def fetch(counted: Sequence[Histogram | Counted]) -> list[Histogram]:
    """What was counted, on the host: one copy for all of it."""
    waiting = iter(on_device.fetch([each for each in counted if isinstance(each, Counted)]))
    return [next(waiting) if isinstance(each, Counted) else each for each in counted]


def histogram(x: Tensor) -> Histogram:
    """The histogram of one tensor, at once."""
    return fetch([count(x)])[0]
