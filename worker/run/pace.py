"""How fast a training advances: images a second, and seconds left."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 5.0  # of the images a second: long enough that a capture or a checkpoint does not show


class Pace:
    """The pace of one attempt.

    The seconds left follow from all that the attempt has done since its first step, test passes and records included.

    Args:
        steps_done: How many steps were done before the attempt.
        steps_total: How many steps the whole training has.
        batch_size: How many images a step takes.
    """

    def __init__(
        self, *, steps_done: int, steps_total: int, batch_size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first, self._total, self._batch_size, self._clock = steps_done, steps_total, batch_size, clock
        self._began = clock()
        self._recent = deque([(self._began, steps_done)])
        self._step = steps_done

    def advance(self, step: int) -> None:
        """Note that this many steps of the whole training are done."""
        now = self._clock()
        self._step = step
        self._recent.append((now, step))
        while self._recent[1][0] <= now - WINDOW_SECONDS:
            self._recent.popleft()

    def images_per_second(self) -> float | None:
        """Return the images trained per second over the last seconds; None before the first step."""
        began, first = self._recent[0]
        now, step = self._recent[-1]
        return (step - first) * self._batch_size / (now - began) if now > began else None

    def seconds_left(self) -> float | None:
        """Return how long the rest of the training takes at the pace so far; None before the first step."""
        done = self._step - self._first
        return (self._clock() - self._began) / done * (self._total - self._step) if done else None
