"""Whether the service may serve: the database answers, and its schema is the one this code was written for."""

import time

from starlette.concurrency import run_in_threadpool

from service.experiments.database import NO_ANSWER, Database
from service.experiments.schema import trouble

GOOD_FOR_SECONDS = 5.0  # that the schema was seen to be right; a migration by a newer service is noticed after this


class Readiness:
    """Asked before every request that touches the database, so a good answer is kept for a while."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._good_until = 0.0

    async def why_not(self) -> str | None:
        """What is in the way, if anything is."""
        if time.monotonic() < self._good_until:
            return None
        return await run_in_threadpool(self.look)

    def look(self) -> str | None:
        """The same, asked of the database now."""
        try:
            found = trouble(self._database.reader)
        except NO_ANSWER:
            return "the database does not answer"
        self._good_until = 0.0 if found else time.monotonic() + GOOD_FOR_SECONDS
        return found
