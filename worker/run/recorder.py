"""Write the records of a training. While the database does not answer, one record is pending and training continues."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from normlab.store import records
from normlab.store.claims import Claim, Verb
from normlab.store.database import TRANSIENT_ERRORS, Database, message_of
from normlab.store.records import Record

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_SECONDS = 0.5  # between two attempts while the database does not answer


def retry_until_available(
    work: Callable[[], Result], check: Callable[[], None], *, retry_seconds: float = RETRY_SECONDS
) -> Result:
    """Return the result of `work`, which is repeated until the database answers. `check` may raise to stop that."""
    while True:
        try:
            return work()
        except TRANSIENT_ERRORS as error:
            log.warning("the database did not answer: %s", message_of(error))
        check()
        time.sleep(retry_seconds)


class Recorder:
    """The writes of one claim. Each may raise ClaimLost.

    check: called while a write waits for the database. It may raise to stop waiting.
    """

    def __init__(
        self, database: Database, claim: Claim, check: Callable[[], None], *, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._database, self._claim, self._check, self._retry_seconds = database, claim, check, retry_seconds
        self._pending: Record | None = None
        self._retry_at = 0.0

    def write(self, verb: Verb) -> None:
        """Run a verb of claims in its own transaction, and repeat it until the database answers."""
        retry_until_available(lambda: self._transact(verb), self._check, retry_seconds=self._retry_seconds)

    def record(self, record: Record) -> None:
        """Write the record, or keep it pending. If another record is pending, wait until that one is written."""
        self.write_pending()
        self._pending, self._retry_at = record, 0.0
        self.is_free()

    def is_free(self) -> bool:
        """Return whether no record is pending. If one is, and an attempt is due, try to write it first."""
        if self._pending is not None and (began := time.monotonic()) >= self._retry_at:
            try:
                self._write_pending()
            except TRANSIENT_ERRORS as error:
                number = self._claim.experiment_id
                log.warning("experiment %d: a record could not be written yet: %s", number, message_of(error))
                # The training waits during an attempt, so attempts take at most half of the time.
                self._retry_at = time.monotonic() + max(self._retry_seconds, time.monotonic() - began)
        return self._pending is None

    def write_pending(self) -> None:
        """Write the pending record, if there is one, and repeat that until the database answers."""
        retry_until_available(self._write_pending, self._check, retry_seconds=self._retry_seconds)

    def _write_pending(self) -> None:
        if self._pending is not None:
            self._transact(partial(records.record, record=self._pending))
            self._pending = None

    def _transact(self, verb: Verb) -> None:
        with self._database.writing.begin() as session:
            verb(session, self._claim)
