"""The supervisor: claims experiments, has a training process run them, keeps the claims, and ends a hung training.

It never imports torch, so it is small, starts at once, and sends heartbeats while its training process computes.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from normlab.process.logging import about
from normlab.store import claims, lost_attempts
from normlab.store.claims import Claim
from normlab.store.database import DATABASE_ERRORS, Database, message_of
from normlab.store.schema import SchemaStatus, schema_status
from worker.messages import Died, Finished, Progress, Ready
from worker.settings import WorkerSettings
from worker.supervisor.claim_watch import CHECK_INTERVAL_SECONDS, ClaimWatch
from worker.supervisor.queue_listener import QueueListener
from worker.supervisor.status import WorkerStatus
from worker.supervisor.training_process import TrainingProcess

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timeouts:
    """ready_seconds: within which a training process must have imported what it needs and found its device.
    restart_seconds: until one that could not start is tried again. database_seconds: until a database that does not
    answer, or is not migrated, is asked again.
    """

    ready_seconds: float = 300.0
    restart_seconds: float = 10.0
    database_seconds: float = 2.0


class Supervisor:
    """One worker: its name, its training process and its claim.

    environment: variables of the training process. start: how the process is started.
    """

    def __init__(
        self,
        database: Database,
        settings: WorkerSettings,
        *,
        name: str,
        environment: Mapping[str, str],
        timeouts: Timeouts = Timeouts(),
        start: Callable[[Mapping[str, str]], TrainingProcess] = TrainingProcess,
    ) -> None:
        self._database, self._settings, self._name, self._environment = database, settings, name, environment
        self._timeouts, self._start = timeouts, start
        self._process: TrainingProcess | None = None
        self._status = WorkerStatus(database, name)
        self._queue_listener = QueueListener(database, settings.poll_interval_seconds)
        self._takes_over_from = 0.0  # monotonic

    def work(self, stop: threading.Event) -> None:
        """Claim and run experiments until stopped. A running experiment is then released."""
        try:
            while not stop.is_set():
                try:
                    claim = self._next_claim(stop)
                except DATABASE_ERRORS as error:
                    log.warning("the database did not answer: %s", message_of(error))
                    # Leases of living workers have expired too. They get one lease's time to send a heartbeat.
                    self._takes_over_from = time.monotonic() + self._settings.lease_seconds
                    stop.wait(self._timeouts.database_seconds)
                    continue
                if claim is None:
                    self._queue_listener.wait(stop)
                else:
                    self._queue_listener.close()
                    with about(experiment=claim.experiment_id, attempt=claim.attempt):
                        self._watch(claim, stop)
        finally:
            if self._process is not None:
                self._process.kill()
            self._queue_listener.close()
            self._status.deregister()

    def _next_claim(self, stop: threading.Event) -> Claim | None:
        """Claim an experiment, if the database is migrated, the training process is ready and one waits."""
        while (status := schema_status(self._database.reader)) != SchemaStatus.CURRENT:
            log.warning("%s", status.description)
            if stop.wait(self._timeouts.database_seconds):
                return None
        self._status.show()
        return self._claim() if self._can_train(stop) else None

    def _can_train(self, stop: threading.Event) -> bool:
        """Return whether the training process is ready; start it and wait for it if there is none.

        Without one nothing is claimed: a worker that cannot start must not cost an experiment an attempt.
        """
        if self._process is not None and isinstance(self._process.receive(timeout=0), Died):
            self._process = None
        if self._process is not None:
            return True
        try:
            process = self._start(self._environment)
        except OSError as error:  # for example, no memory at the moment
            log.error("the training process could not be started: %s", error)
            stop.wait(self._timeouts.restart_seconds)
            return False
        return self._wait_until_ready(process, stop)

    def _wait_until_ready(self, process: TrainingProcess, stop: threading.Event) -> bool:
        ready_by = time.monotonic() + self._timeouts.ready_seconds
        while not stop.is_set():
            self._status.show()
            match process.receive(timeout=CHECK_INTERVAL_SECONDS):
                case Ready(device=device, threads=threads):
                    log.info("trains on %s with %d threads", device, threads)
                    self._status.trains_on(device, threads)
                    self._process = process
                    return True
                case Died(how=how):
                    log.error("the training process ended with %s before it could train", how)
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

    def _claim(self) -> Claim | None:
        with self._database.reading() as session:
            queued, stalled = claims.has_work(session)
        stalled = stalled and time.monotonic() >= self._takes_over_from
        if not (queued or stalled):
            return None
        taken_over = 0
        with self._database.writing.begin() as session:
            if stalled:
                taken_over = lost_attempts.requeue_stalled(session, max_attempts=self._settings.max_attempts)
            claim = claims.claim(session, worker=self._name, lease_seconds=self._settings.lease_seconds)
        self._status.count(takeovers=taken_over, claims=int(claim is not None))
        return claim

    def _watch(self, claim: Claim, stop: threading.Event) -> None:
        """Watch the training of a claim until it has finished or its process is gone."""
        process = self._process
        assert process is not None
        watch = ClaimWatch(self._database, claim, self._settings)
        process.run(claim)
        while True:
            match process.receive(watch.seconds_to_next_check()):
                case Finished(refused_write=refused, must_exit=must_exit):
                    self._status.count(refused_writes=int(refused))
                    if must_exit:
                        self._drop(process.kill)
                    return
                case Progress(claim=reported, step=step) if reported == claim:  # not a late report of the claim before
                    self._status.count(steps=watch.advanced(step))
                case Died(how=how):
                    self._drop()
                    watch.end(f"its training process ended with {how}", stopping=stop.is_set())
                    return
            self._status.show()
            if (reason := watch.check(stopping=stop.is_set())) is not None:
                self._status.count(refused_writes=int(claims.verb_of(reason) is None))
                process.send_stop(reason)
            if watch.is_hung():
                self._drop(process.abort)
                watch.end(f"its training made no step for {watch.step_timeout():g} s; its stack is in the log")
                return
            if watch.ignores_stop():
                self._drop(process.kill)
                watch.end("its training did not stop when it was asked to")
                return

    def _drop(self, end: Callable[[], None] = lambda: None) -> None:
        """End the training process; the next claim starts another."""
        end()
        self._process = None
