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
from normlab.store import claims, lost_attempts
from normlab.store.claims import Claim
from normlab.store.database import DATABASE_ERRORS, Database, message_of
from normlab.store.schema import SchemaStatus, schema_status
from worker.messages import Finished, Progress, Ready
from worker.settings import WorkerSettings
from worker.supervisor.claim_watch import CHECK_INTERVAL_SECONDS, ClaimWatch
from worker.supervisor.queue_listener import QueueListener
from worker.supervisor.status import WorkerStatus
from worker.supervisor.training_process import Died, TrainingProcess

log = logging.getLogger(__name__)

StartProcess = Callable[[Mapping[str, str]], TrainingProcess]  # of a training process's environment variables


@dataclass(frozen=True)
class Timeouts:
    """ready_seconds: how long a training process may take to import what it needs and to find its device.
    restart_seconds: how long to wait after a training process could not start. database_seconds: how long to wait
    after the database did not answer or was not migrated.
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
        self._takes_over_from = 0.0  # monotonic

    def work(self, stop: threading.Event) -> None:
        """Claim and run experiments until `stop` is set. A running experiment is then released."""
        try:
            while not stop.is_set():
                try:
                    claim = self._next_claim(stop)
                except DATABASE_ERRORS as error:
                    log.warning("the database did not answer: %s", message_of(error))
                    # Meanwhile the leases of running workers have expired too. They get the time of one lease to send
                    # a heartbeat before their experiments are taken over.
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
        """Claim an experiment if the database is migrated, the training process is ready and one is queued."""
        while (status := schema_status(self._database.reader)) != SchemaStatus.CURRENT:
            log.warning("%s", status.description)
            if stop.wait(self._timeouts.database_seconds):
                return None
        self._status.update()
        return self._claim() if self._can_train(stop) else None

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
                    log.info("trains on %s with %d threads", device, threads)
                    self._status.set_device(device, threads)
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
        """Watch the training of a claim until it has finished or its process has ended."""
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
                case Progress(claim=reported, step=step) if reported == claim:  # a late one may name the claim before
                    self._status.count(steps=watch.advanced(step))
                case Died(how=how):
                    self._drop()
                    watch.end(f"its training process ended with {how}", stopping=stop.is_set())
                    return
            self._status.update()
            if (reason := watch.check(stopping=stop.is_set())) is not None:
                self._status.count(refused_writes=int(reason == StopReason.CLAIM_LOST))
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
        """End the training process. Before the next claim another one is started."""
        end()
        self._process = None
