"""Timing of candidates that alternate, so that other load on the machine affects all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

WARM_UP = 3


class Timing(NamedTuple):
    """Milliseconds per call, one reading per round."""

    readings: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median reading."""
        return statistics.median(self.readings)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the third quartile."""
        low, _, high = statistics.quantiles(self.readings, n=4)
        return low, high

    def over(self, other: "Timing") -> float:
        """Return the median of the ratios round by round: the two readings of a ratio are seconds apart."""
        return statistics.median(a / b for a, b in zip(self.readings, other.readings, strict=True))


def time_alternately(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int = 9, seconds: float = 0.25
) -> dict[str, Timing]:
    """Return each candidate's timing. In each round each candidate runs for about the given seconds."""
    calls = {}
    for name, run in candidates.items():
        for _ in range(WARM_UP):
            run()
        calls[name] = max(1, round(seconds / _seconds(run, 1)))
    readings: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            readings[name].append(1e3 * _seconds(run, calls[name]))
    return {name: Timing(tuple(of_rounds)) for name, of_rounds in readings.items()}


def _seconds(run: Callable[[], object], calls: int) -> float:
    """Return the mean seconds of one call."""
    _wait()
    began = time.perf_counter()
    for _ in range(calls):
        run()
    _wait()
    return (time.perf_counter() - began) / calls


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
