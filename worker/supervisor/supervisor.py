"""The supervisor: it claims experiments, starts a training process that runs them, and watches that process.

It never imports torch, so it is small, starts at once, and sends heartbeats while its training process computes.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from normlab.process.logging import about
from normlab.spec.lifecycle import StopReason
from normlab.store import claims, gradient_checks, lost_attempts
from normlab.store.claims import Claim
from normlab.store.database import DATABASE_ERRORS, Database, message_of
from normlab.store.gradient_checks import CheckClaim
from normlab.store.schema import SchemaStatus, schema_status
from worker.messages import Finished, Progress, Ready
from worker.settings import WorkerSettings
from worker.supervisor.check_watch import CheckWatch
from worker.supervisor.claim_watch import CHECK_INTERVAL_SECONDS, ClaimWatch
from worker.supervisor.queue_listener import QueueListener
from worker.supervisor.training_process import Died, TrainingProcess
from worker.supervisor.worker_status import WorkerStatus

log = logging.getLogger(__name__)

StartProcess = Callable[[Mapping[str, str]], TrainingProcess]  # of a training process's environment variables


@dataclass(frozen=True)
class Timeouts:
    """How long a supervisor waits.

    ready_seconds: until a training process has imported what it needs and found its device.
    restart_seconds: after a training process could not start.
    database_seconds: after the database did not answer or was not migrated.
    """

    ready_seconds: float = 300.0
    restart_seconds: float = 10.0
    database_seconds: float = 2.0


class Supervisor:
    """One worker: its name, its training process and its claim.

    environment: variables of the training process. start: the function that starts the process.
    """

    def __init__(
        self,
        database: Database,
        settings: WorkerSettings,
        *,
        name: str,
        environment: Mapping[str, str],
        timeouts: Timeouts = Timeouts(),
        start: StartProcess = TrainingProcess,
    ) -> None:
        self._database, self._settings, self._name, self._environment = database, settings, name, environment
        self._timeouts, self._start = timeouts, start
        self._process: TrainingProcess | None = None
        self._status = WorkerStatus(database, name)
        self._queue_listener = QueueListener(database, settings.poll_interval_seconds)
        self._no_takeover_before = 0.0  # monotonic

    def work(self, stop: threading.Event) -> None:
        """Claim and run experiments until `stop` is set. A running experiment is then released."""
        try:
            while not stop.is_set():
                try:
                    claim = self._next_claim(stop)  # of an experiment, or of a requested gradient check
                except DATABASE_ERRORS as error:
                    log.warning("database %s did not answer: %s", self._database.location, message_of(error))
                    self._delay_takeovers(time.monotonic())
                    stop.wait(self._timeouts.database_seconds)
                    continue
                if claim is None:
                    self._queue_listener.wait(stop)
                    continue
                self._queue_listener.close()
                with about(experiment=claim.experiment_id, attempt=claim.attempt):
                    if isinstance(claim, CheckClaim):
                        self._watch_check(claim, stop)
                    else:
                        self._watch(claim, stop)
        finally:
            if self._process is not None:
                self._process.kill()
            self._queue_listener.close()
            self._status.deregister()

    def _next_claim(self, stop: threading.Event) -> Claim | CheckClaim | None:
        """Claim the next work, if the database is migrated and the training process is ready.

        A gradient check comes before an experiment, because it takes seconds and an experiment may take hours.
        """
        while (status := schema_status(self._database.reader)) != SchemaStatus.CURRENT:
            log.warning("database %s: %s", self._database.location, status.description)
            if stop.wait(self._timeouts.database_seconds):
                return None
        self._status.update()
        return (self._claim_check() or self._claim()) if self._can_train(stop) else None

    def _can_train(self, stop: threading.Event) -> bool:
        """Return whether the training process is ready. If there is none, start it and wait for it.

        Without a training process nothing is claimed, because each claim of an experiment costs it an attempt.
        """
        if self._process is not None and self._process.has_died():
            self._process = None
        if self._process is not None:
            return True
        try:
            process = self._start(self._environment)
        except OSError as error:
            log.error("the training process could not be started: %s", error)
            stop.wait(self._timeouts.restart_seconds)
            return False
        return self._wait_until_ready(process, stop)

    def _wait_until_ready(self, process: TrainingProcess, stop: threading.Event) -> bool:
        ready_by = time.monotonic() + self._timeouts.ready_seconds
        while not stop.is_set():
            self._status.update()
            match process.receive(timeout=CHECK_INTERVAL_SECONDS):
                case Ready(device=device, threads=threads):
                    log.info("training process ready on %s with up to %d threads", device, threads)
                    self._status.set_device(device, threads)
                    self._process = process
                    return True
                case Died(exit_status=exit_status):
                    log.error("the training process ended with %s before it could train", exit_status)
                case _ if time.monotonic() > ready_by:
                    process.abort()
                    log.error("the training process was not ready after %g s; its stack is in the log",
                              self._timeouts.ready_seconds)  # fmt: skip
                case _:
                    continue
            stop.wait(self._timeouts.restart_seconds)
            return False
        process.kill()
        return False

    def _claim_check(self) -> CheckClaim | None:
        with self._database.reading() as session:
            if not gradient_checks.has_request(session):
                return None
        with self._database.writing.begin() as session:
            return gradient_checks.claim(
                session,
                worker=self._name,
                lease_seconds=self._settings.lease_seconds,
                max_attempts=self._settings.max_attempts,
            )

    def _claim(self) -> Claim | None:
        with self._database.reading() as session:
            queued, stalled = claims.has_work(session)
        stalled = stalled and time.monotonic() >= self._no_takeover_before
        if not (queued or stalled):
            return None
        taken_over = 0
        with self._database.writing.begin() as session:
            if stalled:
                taken_over = lost_attempts.requeue_stalled(session, max_attempts=self._settings.max_attempts)
            claim = claims.claim(session, worker=self._name, lease_seconds=self._settings.lease_seconds)
        self._status.count(takeovers=taken_over, claims=int(claim is not None))
        return claim

    def _watch_check(self, claim: CheckClaim, stop: threading.Event) -> None:
        """Take a claimed gradient check. Return when it is done or its process has ended."""
        process = self._process
        assert process is not None
        process.check(claim)
        if not CheckWatch(self._database, claim, self._settings).until_end(process, stop):
            self._process = None

    def _watch(self, claim: Claim, stop: threading.Event) -> None:
        """Run a claimed experiment. Return when its training has finished or its process has ended."""
        process = self._process
        assert process is not None
        watch = ClaimWatch(self._database, claim, self._settings)
        process.run(claim)
        self._watch_until_end(process, claim, watch, stop)
        if watch.database_failed_at is not None:
            self._delay_takeovers(watch.database_failed_at)

    def _watch_until_end(
        self, process: TrainingProcess, claim: Claim, watch: ClaimWatch, stop: threading.Event
    ) -> None:
        """Send stops and heartbeats until the training has finished, its process has ended, or it must be ended."""
        while True:
            report = process.receive(watch.seconds_to_next_check())
            watch.received()
            match report:
                case Finished(refused_write=refused, must_exit=must_exit):
                    self._status.count(refused_writes=int(refused))
                    if must_exit:
                        self._end_process(process.kill)
                    return
                # A late report may name the previous claim.
                case Progress(claim=reported, step=step, live=live) if reported == claim:
                    self._status.count(steps=watch.record_progress(step, live))
                case Died(exit_status=exit_status):
                    self._process = None
                    watch.end(f"its training process ended with {exit_status}", stopping=stop.is_set())
                    return
            self._status.update()
            if (reason := watch.check(stopping=stop.is_set())) is not None:
                self._status.count(refused_writes=int(reason == StopReason.CLAIM_LOST))
                process.send_stop(reason)
            if watch.is_hung():
                self._end_process(process.abort)
                limit = f"{watch.step_timeout():g} s ({watch.timeout_setting})"
                watch.end(f"its training made no step for {limit}; its stack is in the log")
                return
            if watch.ignores_stop():
                self._end_process(process.kill)
                watch.end("its training did not stop when it was asked to")
                return

    def _end_process(self, end: Callable[[], None]) -> None:
        """End the training process with `kill` or `abort`. Before the next claim another one is started."""
        end()
        self._process = None

    def _delay_takeovers(self, failed_at: float) -> None:
        """Take no experiment over within one lease after the database failed.

        During an outage the leases of running workers expire too, and they need time to send a heartbeat.
        """
        self._no_takeover_before = max(self._no_takeover_before, failed_at + self._settings.lease_seconds)
