"""One gradient check as its supervisor watches it: its heartbeats, and the end of a process that does not finish."""

import logging
import threading
import time
from collections.abc import Callable

from normlab.store import gradient_checks
from normlab.store.database import DATABASE_ERRORS, Database, message_of
from normlab.store.errors import CheckLost
from normlab.store.gradient_checks import CheckClaim
from worker.messages import CheckFinished
from worker.settings import WorkerSettings
from worker.supervisor.training_process import Died, TrainingProcess

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25  # between two looks at the stop of the worker


class CheckWatch:
    """The watch over one check. It has no record to save, so a worker that stops ends its process and releases it."""

    def __init__(
        self,
        database: Database,
        claim: CheckClaim,
        settings: WorkerSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._claim, self._settings, self._clock = database, claim, settings, clock

    def until_end(self, process: TrainingProcess, stop: threading.Event) -> bool:
        """Wait until the process has finished the check. Return False if the process has ended, or was ended here."""
        began = heartbeat_at = self._clock()
        while True:
            match process.receive(timeout=POLL_SECONDS):
                case CheckFinished(claim=claim) if claim == self._claim:
                    return True
                case Died(exit_status=exit_status):
                    self._release(f"its training process ended with {exit_status}", lost=not stop.is_set())
                    return False
            now = self._clock()
            if stop.is_set():
                process.kill()
                self._release("its worker stops", lost=False)
                return False
            if now - began > self._settings.startup_timeout_seconds:
                process.abort()
                self._release(f"it was not done after {now - began:.0f} s; its stack is in the log", lost=True)
                return False
            if now - heartbeat_at >= self._settings.lease_seconds / 3:
                heartbeat_at = now
                if not self._is_kept():
                    process.kill()
                    return False

    def _is_kept(self) -> bool:
        """Send a heartbeat, and return False if the claim was lost."""
        try:
            with self._database.writing.begin() as session:
                gradient_checks.heartbeat(session, self._claim, lease_seconds=self._settings.lease_seconds)
        except CheckLost as lost:
            log.warning("%s", lost)
            return False
        except DATABASE_ERRORS as error:
            log.warning("database %s did not answer a heartbeat: %s", self._database.location, message_of(error))
        return True

    def _release(self, detail: str, *, lost: bool) -> None:
        """Return the check to the next worker. If the database does not answer, the lease expires instead."""
        log.warning("the gradient check of experiment %d: %s", self._claim.experiment_id, detail)
        try:
            with self._database.writing.begin() as session:
                gradient_checks.release(session, self._claim, lost=lost)
        except (CheckLost, *DATABASE_ERRORS) as error:
            log.warning("the end of the gradient check was not written: %s", message_of(error))
