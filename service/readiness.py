"""Readiness: whether the database answers and has the schema that this code was written for."""

import time

from starlette.concurrency import run_in_threadpool

from normlab.store.database import DATABASE_ERRORS, Database
from normlab.store.schema import SchemaStatus, schema_status

GOOD_FOR_SECONDS = 5.0  # after this time the schema is read again, in case a newer release has migrated it


class Readiness:
    """Checked before every request that needs the database, so a good result is kept for a few seconds.

    names_database: whether a message says where the database is, which not every reader may know.
    """

    def __init__(
        self, database: Database, *, names_database: bool = False, good_for_seconds: float = GOOD_FOR_SECONDS
    ) -> None:
        self._database = database
        self.subject = f"database {database.location}" if names_database else "the database"
        self._good_for_seconds, self._good_until = good_for_seconds, 0.0

    async def problem(self) -> str | None:
        """Return why the service is not ready, or None if it is."""
        if time.monotonic() < self._good_until:
            return None
        return await run_in_threadpool(self.check)

    def check(self) -> str | None:
        """Return the same, but always read it from the database."""
        try:
            status = schema_status(self._database.reader)
        except DATABASE_ERRORS:
            return f"{self.subject} does not answer"
        if status != SchemaStatus.CURRENT:
            self._good_until = 0.0
            return f"{self.subject}: {status.description}"
        self._good_until = time.monotonic() + self._good_for_seconds
        return None
