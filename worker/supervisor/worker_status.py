"""The row of a worker in the database: its device, its speed and its counters."""

import logging
import time
from dataclasses import replace

from normlab.store import workers
from normlab.store.database import DATABASE_ERRORS, Database, message_of
from normlab.store.workers import UPDATE_INTERVAL_SECONDS, Counters

log = logging.getLogger(__name__)


class WorkerStatus:
    """The row of one worker. No claim depends on it: a claim is kept by its lease."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._device: str | None = None
        self._threads: int | None = None
        self._counters, self._written_counters = Counters(), Counters()
        self._written_at: float | None = None
        self._may_have_row = False

    def set_device(self, device: str, threads: int) -> None:
        """Set what the training process runs on, known once it is ready. The next update writes it without delay."""
        self._device, self._threads, self._written_at = device, threads, None

    def count(self, **increments: int) -> None:
        """Add to the counters: claims, takeovers, refused_writes, steps."""
        totals = {name: getattr(self._counters, name) + number for name, number in increments.items()}
        self._counters = replace(self._counters, **totals)

    def update(self) -> None:
        """Write the row, if an update is due and the database answers."""
        now = time.monotonic()
        if self._written_at is not None and now - self._written_at < UPDATE_INTERVAL_SECONDS:
            return
        steps = self._counters.steps - self._written_counters.steps
        steps_per_second = 0.0 if self._written_at is None else steps / (now - self._written_at)
        self._written_at, self._written_counters, self._may_have_row = now, self._counters, True
        try:
            with self._database.writing.begin() as session:
                workers.upsert(
                    session, self._name, device=self._device, threads=self._threads,
                    steps_per_second=steps_per_second, counters=self._counters,
                )  # fmt: skip
        except DATABASE_ERRORS as error:
            log.info("the worker's status was not written: %s", message_of(error))

    def deregister(self) -> None:
        """Delete the row, if there may be one and the database answers."""
        if not self._may_have_row:  # a connection could make an empty database
            return
        try:
            with self._database.writing.begin() as session:
                workers.deregister(session, self._name)
        except DATABASE_ERRORS as error:
            log.info("the worker's status was not deleted: %s", message_of(error))
