"""How an idle worker waits for the next experiment: it polls, and on PostgreSQL it also listens for notifications."""

import logging
import threading
import time
from typing import Any, cast

import psycopg

from normlab.store.database import DATABASE_ERRORS, Database, message_of

log = logging.getLogger(__name__)

STOP_CHECK_SECONDS = 0.5  # between two checks for a stop while listening


class QueueListener:
    """How one worker waits. It polls even while it listens, because a notification may be lost with a connection."""

    def __init__(self, database: Database, poll_interval_seconds: float) -> None:
        self._database, self._poll_interval_seconds = database, poll_interval_seconds
        self._can_listen = database.writer.dialect.name == "postgresql"
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, stop: threading.Event) -> None:
        """Return after the poll interval, after a notification, or when `stop` is set."""
        until = time.monotonic() + self._poll_interval_seconds
        try:
            while self._can_listen and not stop.is_set() and (left := until - time.monotonic()) > 0:
                if self._is_notified(min(left, STOP_CHECK_SECONDS)):
                    return
        except (psycopg.Error, *DATABASE_ERRORS) as error:
            log.info("no notifications of queued experiments: %s", message_of(error))
            self.close()
        stop.wait(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Stop listening. A busy worker must not listen: unread notifications would accumulate at the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_notified(self, seconds: float) -> bool:
        """Return whether a notification came. The start of listening counts as one, since earlier ones were lost."""
        if self._connection is None:
            pooled = self._database.writer.raw_connection()
            pooled.detach()  # from the pool, so that close() closes the connection
            self._connection = cast(psycopg.Connection[Any], pooled.dbapi_connection)
            self._connection.autocommit = True
            self._connection.execute("LISTEN normlab_queued")  # a trigger in the schema sends the notifications
            return True
        return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
