"""Timing candidates by turns, so that a machine's moods fall on all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

WARM_UP = 3


class Timing(NamedTuple):
    """Milliseconds a call, a reading a round."""

    readings: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.readings)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile."""
        low, _, high = statistics.quantiles(self.readings, n=4)
        return low, high

    def over(self, other: "Timing") -> float:
        """The median of the ratios round by round: both of a ratio were read within seconds of each other."""
        return statistics.median(a / b for a, b in zip(self.readings, other.readings, strict=True))


def by_turns(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int = 9, seconds: float = 0.25
) -> dict[str, Timing]:
    """Each candidate's timing; in each round each runs for so many seconds."""
    calls = {}
    for name, run in candidates.items():
        for _ in range(WARM_UP):
            run()
        calls[name] = max(1, round(seconds / _seconds(run, 1)))
    readings: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            readings[name].append(1e3 * _seconds(run, calls[name]))
    return {name: Timing(tuple(read)) for name, read in readings.items()}


def _seconds(run: Callable[[], object], calls: int) -> float:
    """A call's, over so many."""
    _wait()
    began = time.perf_counter()
    for _ in range(calls):
        run()
    _wait()
    return (time.perf_counter() - began) / calls


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
