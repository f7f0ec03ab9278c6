"""One claim as its supervisor watches it: its heartbeats, its stop requests, and whether its training advances."""

import logging
import time
from collections.abc import Callable
from functools import partial

from normlab.spec.lifecycle import AttemptOutcome, StopReason
from normlab.store import claims, lost_attempts
from normlab.store.claims import Claim
from normlab.store.database import DATABASE_ERRORS, Database, message_of
from normlab.store.errors import ClaimLost
from normlab.store.live_progress import NOTHING_KNOWN, LiveProgress
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

STOP_TIMEOUT_SECONDS = 30.0  # from a stop request until the training process is killed
LOST_TIMEOUT_SECONDS = 1.0  # the same if the claim was lost, because nothing that it computes can be stored
NEW_PHASE_SECONDS = 1.0  # from a heartbeat to one that stores another phase; epochs may take less
CHECK_INTERVAL_SECONDS = 0.25  # between two checks for a request of a user


class ClaimWatch:
    """The state of one claim: its last heartbeat and check, its last progress, and the stop request that was sent.

    database_failed_at: when the database last did not answer, by the clock. None if it always did.
    """

    def __init__(
        self, database: Database, claim: Claim, settings: WorkerSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._claim, self._settings, self._clock = database, claim, settings, clock
        self._step: int | None = None
        self._live = self._stored_live = NOTHING_KNOWN
        self._advanced_at = self._received_at = self._heartbeat_at = self._checked_at = clock()
        self._stop: StopReason | None = None
        self._stop_sent_at = 0.0
        self._database_answers = True
        self.database_failed_at: float | None = None

    def seconds_to_next_check(self) -> float:
        """Return how long to wait for a report of the training process."""
        return max(0.0, self._checked_at + self._check_interval() - self._clock())

    def received(self) -> None:
        """Note that the reports so far have been read. Call this after each wait for a report.

        Time in which no reports were read is excluded from the timeouts. While this process was stopped, or waited for
        the database, reports may have been sent that it has not read.
        """
        now = self._clock()
        missed = max(0.0, now - self._received_at - CHECK_INTERVAL_SECONDS)
        self._advanced_at = min(now, self._advanced_at + missed)
        self._stop_sent_at = min(now, self._stop_sent_at + missed)
        self._received_at = now

    def record_progress(self, step: int | None, live: LiveProgress = NOTHING_KNOWN) -> int:
        """Store how far the training is, and return how many more steps are done than at the last report."""
        self._live = live
        if step is None:  # another phase before the first step, whose timeout is that of the start as a whole
            return 0
        new = 0 if self._step is None else step - self._step
        self._step, self._advanced_at = step, self._clock()
        return new

    def check(self, *, stopping: bool) -> StopReason | None:
        """Send a heartbeat or read what a user has requested, if it is due. Return the stop reason to send, or None.

        A training is asked to stop once, and once more if its claim is lost. stopping: whether the worker is stopping.
        """
        now = self._clock()
        reason = StopReason.RELEASE if stopping else None
        if now - self._checked_at >= self._check_interval():
            self._checked_at = now
            if self._stop != StopReason.CLAIM_LOST:
                since = now - self._heartbeat_at
                is_new_phase = self._live.phase != self._stored_live.phase
                is_due = since >= self._settings.lease_seconds / 3 or (is_new_phase and since >= NEW_PHASE_SECONDS)
                reason = self._heartbeat_or_check(heartbeat=is_due) or reason
        if reason is None or (self._stop is not None and reason != StopReason.CLAIM_LOST):
            return None
        self._stop, self._stop_sent_at = reason, now
        return reason

    def is_hung(self) -> bool:
        """Return whether the training had not advanced for too long when reports were last read."""
        return self._received_at - self._advanced_at > self.step_timeout()

    def step_timeout(self) -> float:
        """Return how many seconds the training may take to advance. Before its first step it may take longer."""
        settings = self._settings
        return settings.startup_timeout_seconds if self._step is None else settings.step_timeout_seconds

    @property
    def timeout_setting(self) -> str:
        """The name of the setting that decides that."""
        return f"NORMLAB_{'STARTUP' if self._step is None else 'STEP'}_TIMEOUT_SECONDS"

    def ignores_stop(self) -> bool:
        """Return whether the training had been asked to stop too long ago when reports were last read."""
        timeout = LOST_TIMEOUT_SECONDS if self._stop == StopReason.CLAIM_LOST else STOP_TIMEOUT_SECONDS
        return self._stop is not None and self._received_at - self._stop_sent_at > timeout

    def end(self, detail: str, *, stopping: bool = False) -> None:
        """Write how the attempt ended, because the training process cannot.

        If the database does not answer, the lease expires instead.

        stopping: whether the worker is stopping. Then the training process may have been ended by the same cause, and
        its attempt does not count as lost.
        """
        log.warning("experiment %d, attempt %d: %s", self._claim.experiment_id, self._claim.attempt, detail)
        reason = self._stop or (StopReason.RELEASE if stopping else None)
        lost = partial(lost_attempts.mark_lost, detail=detail, max_attempts=self._settings.max_attempts)
        verb = lost if reason is None else claims.verb_of(reason)
        if verb is None:
            return
        try:
            with self._database.writing.begin() as session:
                verb(session, self._claim)
        except (ClaimLost, *DATABASE_ERRORS) as error:
            log.warning("the end of the attempt was not written: %s", message_of(error))
            if isinstance(error, DATABASE_ERRORS):
                self.database_failed_at = self._clock()

    def _heartbeat_or_check(self, *, heartbeat: bool) -> StopReason | None:
        try:
            reason = self._stop_reason(heartbeat=heartbeat)
            self._database_answers = True
            return reason
        except DATABASE_ERRORS as error:  # the training continues, since another worker needs the database too
            if self._database_answers:
                number = self._claim.experiment_id
                log.warning("experiment %d: database %s did not answer a heartbeat or check: %s", number,
                            self._database.location, message_of(error))  # fmt: skip
            self._database_answers, self.database_failed_at = False, self._clock()
            return None

    def _stop_reason(self, *, heartbeat: bool) -> StopReason | None:
        try:
            if not heartbeat:
                with self._database.reading() as session:
                    return claims.stop_reason(session, self._claim)
            live = self._live
            with self._database.writing.begin() as session:
                reason = claims.heartbeat(
                    session, self._claim, step=self._step, lease_seconds=self._settings.lease_seconds, live=live
                )
            self._stored_live = live
            self._heartbeat_at = self._checked_at
            return reason
        except ClaimLost as lost:
            with self._database.reading() as session:
                outcome = claims.outcome(session, self._claim)
            if outcome not in (None, AttemptOutcome.LOST):
                return None  # the training process has ended the attempt itself, and will soon report that
            log.warning("%s", lost)
            return StopReason.CLAIM_LOST

    def _check_interval(self) -> float:
        return min(CHECK_INTERVAL_SECONDS, self._settings.lease_seconds / 6)
