"""(e) The histogram kernels alone: random data and 90 % zeros, in GB/s, compared with a copy on the same device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.timing import time_alternately
from normcore.histograms import count, fetch, torch_operators
from normlab.process.progress import ProgressLines

VALUES = 16_000_000
DATA_SETS = ("random", "90 % zeros")


def measure(device: torch.device, progress: ProgressLines) -> list[dict[str, Any]]:
    """Return a row for each data set and each way to count it."""
    rows: list[dict[str, Any]] = []
    generator = torch.Generator().manual_seed(3)
    random = torch.randn(VALUES, generator=generator) * 1e-3
    zeros = torch.where(torch.rand(VALUES, generator=generator) < 0.9, 0.0, random)
    tensors = dict(zip(DATA_SETS, (random.to(device), zeros.to(device)), strict=True))
    for name in progress.each(DATA_SETS, lambda name: f"histograms, {name}"):
        values = tensors[name]
        ways = _ways(values)
        timings = time_alternately(ways, rounds=5, seconds=0.1)
        rows += [
            {"data": name, "way": way, "milliseconds": timing.median, "GB/s": 4 * VALUES / timing.median / 1e6}
            for way, timing in timings.items()
        ]
    return rows


def _ways(values: torch.Tensor) -> dict[str, Callable[[], object]]:
    copy, host = torch.empty_like(values), values.cpu().numpy()
    return {
        "a copy": lambda: copy.copy_(values),
        "normcore": lambda: fetch([count(values)]),
        "normcore, torch's operators": lambda: fetch([torch_operators.count(values)]),
        "torch.histc, 50 bins": lambda: torch.histc(values, 50).cpu(),
        "numpy.histogram, 50 bins": lambda: np.histogram(host, 50),
    }
