"""How a worker shows that it is there: on what device, how fast, and what it has done."""

import logging
import time
from dataclasses import replace

from service.experiments import workers
from service.experiments.database import NO_ANSWER, Database, why
from service.experiments.workers import SHOWN_EVERY_SECONDS, Done

log = logging.getLogger(__name__)


class Presence:
    """One worker's. Nothing depends on it: a claim lives by its lease alone."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._device: str | None = None
        self._threads: int | None = None
        self._done, self._shown = Done(), Done()
        self._shown_at: float | None = None

    def trains_on(self, device: str, threads: int) -> None:
        """Known once its first training process runs."""
        self._device, self._threads, self._shown_at = device, threads, None  # so that it is shown at once

    def count(self, **more: int) -> None:
        """Add to what it has done: claims, takeovers, refused_writes, steps."""
        self._done = replace(self._done, **{name: getattr(self._done, name) + some for name, some in more.items()})

    def show(self) -> None:
        """Say so, if it is time to and the database lets it."""
        now = time.monotonic()
        if self._shown_at is not None and now - self._shown_at < SHOWN_EVERY_SECONDS:
            return
        steps = self._done.steps - self._shown.steps
        rate = 0.0 if self._shown_at is None else steps / (now - self._shown_at)
        self._shown_at, self._shown = now, self._done
        try:
            with self._database.writing.begin() as session:
                workers.show(
                    session, self._name, device=self._device, threads=self._threads, steps_per_second=rate,
                    done=self._done,
                )  # fmt: skip
        except NO_ANSWER as error:
            log.info("it could not be written that this worker is there: %s", why(error))

    def leave(self) -> None:
        """Take the sign down, if the database lets it."""
        try:
            with self._database.writing.begin() as session:
                workers.leave(session, self._name)
        except NO_ANSWER as error:
            log.info("it could not be written that this worker stops: %s", why(error))
