"""Writing what a training makes, also while the database is away: one record waits, and training goes on meanwhile."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from service.experiments import recording
from service.experiments.claims import Claim
from service.experiments.database import AWAY, Database, why
from service.experiments.records import Record

log = logging.getLogger(__name__)

Verb = Callable[[Session, Claim], None]
Result = TypeVar("Result")

AGAIN_SECONDS = 0.5  # until a database that is away is asked again


def answered(work: Callable[[], Result], check: Callable[[], None]) -> Result:
    """What the work returns, which is tried until the database answers it. check: may raise, to stop."""
    while True:
        try:
            return work()
        except AWAY as away:
            log.warning("the database did not answer: %s", why(away))
        check()
        time.sleep(AGAIN_SECONDS)


class Recorder:
    """One claim's way into the database. Every write may raise ClaimLost.

    check: called while a write waits; may raise, to stop.
    """

    def __init__(self, database: Database, held: Claim, check: Callable[[], None]) -> None:
        self._database, self._held, self._check = database, held, check
        self._waiting: Record | None = None
        self._again_at = 0.0

    def note(self, verb: Verb) -> None:
        """Do a verb of claims in a transaction of its own, as soon as the database lets it."""
        answered(lambda: self._do(verb), self._check)

    def record(self, made: Record) -> None:
        """Write it, or keep it until the next one; what was kept before is written first, however long that takes."""
        self.settle()
        self._waiting, self._again_at = made, 0.0
        self.is_free()

    def is_free(self) -> bool:
        """Whether no record waits any more, after another try if it is time for one."""
        if self._waiting is not None and (began := time.monotonic()) >= self._again_at:
            try:
                self._write_the_waiting()
            except AWAY as away:
                log.warning("experiment %d: a record waits, for %s", self._held.experiment_id, why(away))
                # A try may last, and training stands still meanwhile: for half of the time at most.
                self._again_at = time.monotonic() + max(AGAIN_SECONDS, time.monotonic() - began)
        return self._waiting is None

    def settle(self) -> None:
        """Have nothing wait."""
        answered(self._write_the_waiting, self._check)

    def _write_the_waiting(self) -> None:
        if (made := self._waiting) is not None:
            self._do(partial(recording.record, made=made))
            self._waiting = None

    def _do(self, verb: Verb) -> None:
        with self._database.writing.begin() as session:
            verb(session, self._held)
