"""Supervising: claim experiments, have a child train them, keep the claims alive, and end a child that has none.

Nothing here imports torch: a supervisor is small, starts at once, and beats while its child computes.
"""

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial

from service.experiments import claims
from service.experiments.claims import Claim, Wish
from service.experiments.database import NO_ANSWER, Database, why
from service.experiments.errors import ClaimLost
from service.experiments.logs import about
from service.experiments.schema import trouble
from worker.idling import Idling
from worker.orders import Order
from worker.presence import Presence
from worker.settings import WorkerSettings
from worker.training_process import TrainingProcess

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0  # that a child has to heed an order; who does not is killed
PATIENCE_WHEN_LOST_SECONDS = 1.0  # with a child that works for nothing: its supervisor could have another claim
LONGEST_LOOK_SECONDS = 0.25  # between two looks at what is wished
READY_SECONDS = 300.0  # that a child may take to import what it needs and to find its device
STARTS_AGAIN_SECONDS = 10.0  # until a child that could not start is tried again
AWAY_SECONDS = 2.0  # until a database that is away or not migrated yet is asked again


class Supervisor:
    """One worker: its name, its child, and what it has claimed. environment: its child's own."""

    def __init__(
        self, database: Database, settings: WorkerSettings, *, name: str, environment: Mapping[str, str]
    ) -> None:
        self._database, self._settings, self._name, self._environment = database, settings, name, environment
        self._child: TrainingProcess | None = None
        self._presence = Presence(database, name)
        self._idling = Idling(database, settings.poll_seconds)
        self._takes_over_from = 0.0  # monotonic

    def work(self, stop: threading.Event) -> None:
        """Claim and watch, over and over, until told to stop; then what is at hand is given back."""
        try:
            while not stop.is_set():
                try:
                    if (found := trouble(self._database.reader)) is not None:
                        log.warning("%s", found)
                        stop.wait(AWAY_SECONDS)
                        continue
                    self._presence.show()
                    held = self._claim() if self._can_train(stop) else None
                except NO_ANSWER as error:
                    log.warning("the database did not answer: %s", why(error))
                    # Leases ran out meanwhile of workers that live: they are to be heard of first.
                    self._takes_over_from = time.monotonic() + self._settings.lease_seconds
                    stop.wait(AWAY_SECONDS)
                    continue
                if held is None:
                    self._idling.wait(stop)
                else:
                    self._idling.end()
                    with about(experiment=held.experiment_id, attempt=held.attempt):
                        self._watch(held, stop)
        finally:
            if self._child is not None:
                self._child.kill()
            self._idling.end()
            self._presence.leave()

    def _can_train(self, stop: threading.Event) -> bool:
        """Whether there is a child, ready; started and waited for if need be. Without one nothing is claimed: no
        experiment is to blame for a worker that cannot start.
        """
        if self._child is not None and "died" in self._child.hear(timeout=0):
            self._child = None
        if self._child is not None:
            return True
        try:
            child, ready_by = TrainingProcess(self._environment), time.monotonic() + READY_SECONDS
        except OSError as error:  # no memory for it at the moment, say
            log.error("its training process could not be started: %s", error)
            stop.wait(STARTS_AGAIN_SECONDS)
            return False
        while not stop.is_set():
            self._presence.show()
            heard = child.hear(timeout=LONGEST_LOOK_SECONDS)
            if "device" in heard:
                log.info("trains on %s with %d threads", heard["device"], heard["threads"])
                self._presence.trains_on(heard["device"], heard["threads"])
                self._child = child
                return True
            if "died" in heard:
                log.error("its training process ended with %s before it could train", heard["died"])
            elif time.monotonic() > ready_by:
                child.abort()
                log.error("its training process was not ready after %g s; its stack is in the log", READY_SECONDS)
            else:
                continue
            stop.wait(STARTS_AGAIN_SECONDS)
            return False
        child.kill()
        return False

    def _claim(self) -> Claim | None:
        with self._database.reading() as session:
            waits, stalled = claims.look(session)
        stalled = stalled and time.monotonic() >= self._takes_over_from
        if not (waits or stalled):
            return None
        found = 0
        with self._database.writing.begin() as session:
            if stalled:
                found = claims.requeue_stalled(session, most_attempts=self._settings.most_attempts)
            held = claims.claim(session, worker=self._name, lease_seconds=self._settings.lease_seconds)
        self._presence.count(takeovers=found, claims=int(held is not None))
        return held

    def _watch(self, held: Claim, stop: threading.Event) -> None:
        """Until the child is done with it, or is no more."""
        child = self._child
        assert child is not None
        watch = _Watch(self._database, held, self._settings)
        child.run(held)
        while True:
            heard = child.hear(watch.seconds_to_the_next_look())
            if "done" in heard:
                self._presence.count(refused_writes=heard["refused_writes"])
                if heard["spent"]:
                    child.kill()
                    self._child = None
                return
            if heard.get("of") == [held.experiment_id, held.attempt]:  # not a last word on the one before
                self._presence.count(steps=watch.stepped(heard["step"]))
            self._presence.show()
            if "died" in heard:
                watch.end(f"its training process ended with {heard['died']}", stopping=stop.is_set())
                self._child = None
                return
            order = watch.look(stopping=stop.is_set())
            if order is not None:
                self._presence.count(refused_writes=int(order == "lost"))
                child.tell(order)
            if watch.is_hung():
                child.abort()
                watch.end(f"its training made no step for {watch.patience():g} s; its stack is in the log")
                self._child = None
                return
            if watch.is_unheeded():
                child.kill()
                watch.end("its training did not stop when it was told to")
                self._child = None
                return


class _Watch:
    """One claim as its supervisor sees it: when it beat and looked last, and what it has told the child."""

    def __init__(self, database: Database, held: Claim, settings: WorkerSettings) -> None:
        self._database, self._held, self._settings = database, held, settings
        self._step: int | None = None
        self._quiet_since = self._listened_at = self._beat_at = self._looked_at = time.monotonic()
        self._told: Order | None = None
        self._told_at = 0.0

    def seconds_to_the_next_look(self) -> float:
        """How long to listen to the child."""
        return max(0.0, self._looked_at + self._look_seconds() - time.monotonic())

    def stepped(self, step: int) -> int:
        """Note how far training is; returns how many steps that is more than last heard."""
        more = 0 if self._step is None else step - self._step
        self._step, self._quiet_since = step, time.monotonic()
        return more

    def look(self, *, stopping: bool) -> Order | None:
        """Beat, or see what is wished, if it is time to; returns what the child is to be told, once."""
        now = time.monotonic()
        order: Order | None = "give back" if stopping else None
        if now - self._looked_at >= self._look_seconds():
            self._looked_at = now
            beat = now - self._beat_at >= self._settings.lease_seconds / 3
            order = self._ask(beat=beat) or order
        if order is None or (self._told is not None and order != "lost") or self._told == order:
            return None
        self._told, self._told_at = order, now
        return order

    def is_hung(self) -> bool:
        """Whether training has stood still for too long; asked after each time that the child was listened to."""
        now = time.monotonic()
        # Who was stopped itself, or waited for the database, has not heard yet what was said meanwhile.
        self._quiet_since += max(0.0, now - self._listened_at - LONGEST_LOOK_SECONDS)
        self._listened_at = now
        return now - self._quiet_since > self.patience()

    def patience(self) -> float:
        """Seconds that training may stand still: at its start for longer."""
        return self._settings.start_seconds if self._step is None else self._settings.hang_seconds

    def is_unheeded(self) -> bool:
        """Whether the child was told to stop, and goes on."""
        patience = PATIENCE_WHEN_LOST_SECONDS if self._told == "lost" else PATIENCE_SECONDS
        return self._told is not None and time.monotonic() - self._told_at > patience

    def end(self, how: str, *, stopping: bool = False) -> None:
        """Write how its attempt ended, for a child that cannot. If the database is away, the lease will say it.

        stopping: the worker is being stopped, and whoever does that may well stop its child too.
        """
        verb = {
            None: partial(claims.lose, why=how, most_attempts=self._settings.most_attempts),
            "cancel": claims.cancel,
            "pause": claims.give_back,
            "give back": claims.give_back,
            "end: its time is up": partial(claims.fail, error="it ran for longer than its max_run_seconds"),
            "lost": None,
        }[self._told or ("give back" if stopping else None)]
        log.warning("experiment %d, attempt %d: %s", self._held.experiment_id, self._held.attempt, how)
        if verb is None:
            return
        try:
            with self._database.writing.begin() as session:
                verb(session, self._held)
        except (ClaimLost, *NO_ANSWER) as error:
            log.warning("its end was not written: %s", why(error))

    def _ask(self, *, beat: bool) -> Wish | Order | None:
        try:
            if not beat:
                with self._database.reading() as session:
                    return claims.wish(session, self._held)
            with self._database.writing.begin() as session:
                wish = claims.heartbeat(
                    session, self._held, step=self._step, lease_seconds=self._settings.lease_seconds
                )
            self._beat_at = self._looked_at
            return wish
        except ClaimLost as lost:
            log.warning("%s", lost)
            return "lost"
        except NO_ANSWER as error:  # training goes on: whoever takes it over would need the database as well
            log.warning("no heartbeat for experiment %d: %s", self._held.experiment_id, why(error))
            return None

    def _look_seconds(self) -> float:
        return min(LONGEST_LOOK_SECONDS, self._settings.lease_seconds / 6)
