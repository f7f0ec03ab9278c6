"""Lines on standard error that say what a long command does, how much is done and what is left."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

INTERVAL_SECONDS = 5.0
Item = TypeVar("Item")


class ProgressLines:
    """A context manager that prints one line at its start and one every few seconds.

    name: of the command. total: the number of units of work, if it is known. unit: what they are, such as `faults`.
    done: the number of units that are done; the command sets it. doing: what it does now, and what comes after it.
    interval_seconds: between two lines.
    """

    def __init__(
        self,
        name: str,
        total: float | None = None,
        unit: str = "",
        *,
        doing: str = "",
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._name, self._total, self._unit, self.doing = name, total, unit, doing
        self.done = 0.0
        self._interval_seconds, self._began = interval_seconds, time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._print_repeatedly, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._print()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def each(self, items: Iterable[Item], doing: Callable[[Item], str]) -> Iterator[Item]:
        """Yield the items, and count one unit after each. doing: returns what is done with an item."""
        for item in items:
            self.doing = doing(item)
            yield item
            self.done += 1

    def line(self, seconds: float) -> str:
        """Return the line after this many seconds. The seconds left assume that the speed stays the same."""
        parts = [self.doing] if self.doing else []
        if self._total is not None:
            parts.append(f"{self.done:,.0f} of {self._total:,.0f} {self._unit}".rstrip())
        parts.append(f"{seconds:.0f} s so far")
        if self._total is not None and 0 < self.done < self._total:
            parts.append(f"about {seconds * (self._total - self.done) / self.done:.0f} s left")
        return f"{self._name}: {', '.join(parts)}"

    def _print_repeatedly(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self._print()

    def _print(self) -> None:
        print(self.line(time.monotonic() - self._began), file=sys.stderr, flush=True)
