"""Idling: how a worker that found nothing waits until it looks again."""

import logging
import threading
import time
from typing import Any, cast

import psycopg

from service.experiments.database import NO_ANSWER, Database, why

log = logging.getLogger(__name__)

HEEDED_WITHIN_SECONDS = 0.5  # that it is told to stop, while it listens


class Idling:
    """One worker's. It looks every so many seconds, which is enough; on PostgreSQL a hint may wake it before.

    A hint may be lost, with its connection or behind a pooler: nothing depends on it.
    """

    def __init__(self, database: Database, seconds: float) -> None:
        self._database, self._seconds = database, seconds
        self._hears = database.writer.dialect.name == "postgresql"
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, stop: threading.Event) -> None:
        """Until something may have been queued, the time is over, or it is told to stop."""
        until = time.monotonic() + self._seconds
        try:
            while self._hears and not stop.is_set() and (left := until - time.monotonic()) > 0:
                if self._heard(min(left, HEEDED_WITHIN_SECONDS)):
                    return
        except (psycopg.Error, *NO_ANSWER) as error:
            log.info("no hints of what is queued: %s", why(error))
            self.end()
        stop.wait(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """Listen no more. Who is busy must not: what it does not read would pile up at the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _heard(self, seconds: float) -> bool:
        """Whether a hint came. To begin to listen is one: what was queued since the last look was not heard."""
        if self._connection is None:
            pooled = self._database.writer.raw_connection()
            pooled.detach()  # it is this worker's own, and really closed at the end
            self._connection = cast(psycopg.Connection[Any], pooled.dbapi_connection)
            self._connection.autocommit = True
            self._connection.execute("LISTEN normlab_queued")  # which a trigger of the schema's notifies
            return True
        return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
