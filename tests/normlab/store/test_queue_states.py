"""The life of experiments against a plain model of it: any verb at any time, by workers that are stale or not.

The long form, `python -m tests.torture.states`, takes 5,000 steps on each database.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete, select, update

from normlab.spec.experiment import ExperimentSpec
from normlab.store import claims, lost_attempts, queue, records
from normlab.store.enqueue import Submission, enqueue_all
from normlab.store.errors import ClaimLost, InvalidState
from normlab.store.models import Attempt, CheckpointRow, EpochRow, Experiment, GroupRow
from tests.factories import record_of

pytestmark = pytest.mark.slow

ENDED = ("succeeded", "failed", "cancelled")


VERBS = {
    "succeed": claims.succeed, "fail": claims.fail, "cancel": claims.cancel, "release": claims.release,
    "mark_lost": lost_attempts.mark_lost,
}  # fmt: skip


@dataclass
class Modelled:
    """What an experiment should be."""

    group: str
    priority: int = 0
    status: str = "queued"
    attempt: int = 0
    lost: int = 0
    requested_action: str | None = None
    epochs: int = 0
    stale: bool = False  # its lease has run out
    outcomes: list = field(default_factory=list)

    def let_go(self, outcome, status):
        self.outcomes[-1] = outcome
        self.requested_action, self.stale, self.status = None, False, status

    def wished_or(self, status):
        return {"cancel": "cancelled", "pause": "paused", None: status}[self.requested_action]


class Life(RuleBasedStateMachine):
    """database and steps are set by who runs it."""

    database = None
    steps = 0

    def __init__(self):
        super().__init__()
        self.experiments, self.claims = {}, []
        with self.database.writing.begin() as session:
            for table in (CheckpointRow, EpochRow, Attempt, Experiment, GroupRow):
                session.execute(delete(table))
            session.add(GroupRow(name=""))
        self.turns = []  # groups, the one that had a claim last at the end

    def do(self, verb, *arguments, **options):
        type(self).steps += 1
        with self.database.writing.begin() as session:
            return verb(session, *arguments, **options)

    def refused(self, kind, verb, *arguments, **options):
        try:
            self.do(verb, *arguments, **options)
        except kind:
            return
        raise AssertionError(f"{verb.__name__} was not refused")

    def any_one(self, data):
        return data.draw(st.sampled_from(sorted(self.experiments)))

    def held(self, data):
        """A claim, current or stale, and the experiment if it is current."""
        claim = data.draw(st.sampled_from(self.claims))
        of_it = self.experiments.get(claim.experiment_id)
        current = of_it is not None and of_it.status == "running" and of_it.attempt == claim.attempt
        return claim, of_it if current else None

    @rule(group=st.sampled_from(["", "a", "b"]), priority=st.integers(-1, 1))
    def submit(self, group, priority):
        spec = ExperimentSpec(dataset="digits", group=group or None, priority=priority)
        (made,) = self.do(enqueue_all, [Submission(spec)])
        number = made.id
        self.experiments[number] = Modelled(group, priority)

    @rule()
    def claim(self):
        waiting = {number: one for number, one in self.experiments.items() if one.status == "queued"}
        got = self.do(claims.claim, worker="w", lease_seconds=1000)
        if not waiting:
            assert got is None
            return
        highest = max(one.priority for one in waiting.values())
        groups = {one.group for one in waiting.values() if one.priority == highest}
        of_it = waiting[got.experiment_id]
        assert of_it.priority == highest
        never = [group for group in groups if group not in self.turns]
        assert of_it.group in never if never else of_it.group == min(groups, key=self.turns.index)
        assert got.experiment_id == min(
            number for number, one in waiting.items() if (one.priority, one.group) == (highest, of_it.group)
        )
        self.turns = [group for group in self.turns if group != of_it.group] + [of_it.group]
        of_it.status, of_it.attempt = "running", of_it.attempt + 1
        of_it.outcomes.append(None)
        assert got.attempt == of_it.attempt
        self.claims.append(got)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def beat(self, data):
        claim, of_it = self.held(data)
        if of_it is None:
            self.refused(ClaimLost, claims.heartbeat, claim, step=1, lease_seconds=1000)
            return
        assert self.do(claims.heartbeat, claim, step=of_it.epochs, lease_seconds=1000) == of_it.requested_action
        of_it.stale = False

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def record(self, data):
        claim, of_it = self.held(data)
        if of_it is None:
            self.refused(ClaimLost, records.record, claim, record_of(0))
            return
        self.do(records.record, claim, record_of(of_it.epochs, layers=range(1, 2)))
        of_it.epochs += 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(["succeed", "fail", "cancel", "release", "mark_lost"]))
    def end(self, data, end):
        claim, of_it = self.held(data)
        options = {"fail": {"error": "it broke"}, "mark_lost": {"detail": "it died", "max_attempts": 2}}.get(end, {})
        if of_it is None:
            self.refused(ClaimLost, VERBS[end], claim, **options)
            return
        self.do(VERBS[end], claim, **options)
        if end == "mark_lost":
            self.lose(of_it)
        else:
            status = {"succeed": "succeeded", "fail": "failed", "cancel": "cancelled"}.get(
                end, of_it.wished_or("queued")
            )
            of_it.let_go("released" if status == "queued" else status, status)

    @rule()
    def take_over(self):
        stalled = [one for one in self.experiments.values() if one.stale]
        assert self.do(lost_attempts.requeue_stalled, max_attempts=2) == len(stalled)
        for one in stalled:
            self.lose(one)

    def lose(self, one):
        one.lost += 1
        one.let_go("lost", "failed" if one.requested_action is None and one.lost >= 2 else one.wished_or("queued"))

    @precondition(lambda self: self.experiments)
    @rule(data=st.data())
    def expire(self, data):
        number = self.any_one(data)
        if self.experiments[number].status == "running":
            self.experiments[number].stale = True
            self.do(lambda session: session.execute(
                update(Experiment).where(Experiment.id == number).values(lease_expires_at=1.0)
            ))  # fmt: skip

    @precondition(lambda self: self.experiments)
    @rule(data=st.data(), verb=st.sampled_from(["cancel", "pause", "resume", "prioritize", "retry", "again", "remove"]))
    def ask(self, data, verb):
        number = self.any_one(data)
        one = self.experiments[number]
        waits, ended = one.status in ("queued", "paused"), one.status in ENDED
        match verb:
            case "cancel" if not ended:
                self.do(queue.cancel, number)
                one.requested_action, one.status = (None, "cancelled") if waits else ("cancel", "running")
                if one.stale:
                    self.lose(one)
            case "pause" if not ended and one.requested_action != "cancel":
                self.do(queue.pause, number)
                one.requested_action, one.status = (None, "paused") if waits else ("pause", "running")
                if one.stale:
                    self.lose(one)
            case "resume" if not ended:
                self.do(queue.resume, number)
                one.requested_action = None if one.requested_action == "pause" else one.requested_action
                one.status = "queued" if one.status == "paused" else one.status
            case "prioritize" if waits:
                one.priority = data.draw(st.integers(-1, 1))
                self.do(queue.prioritize, number, one.priority)
            case "retry" | "again" if one.status in ("failed", "cancelled"):
                self.do(queue.retry, number, from_start=verb == "again")
                one.status, one.lost = "queued", 0
                one.epochs = 0 if verb == "again" else one.epochs
            case "remove" if one.status != "running" or data.draw(st.booleans()):
                self.do(queue.remove, number, force=one.status == "running")
                del self.experiments[number]
            case "prioritize":
                self.refused(InvalidState, queue.prioritize, number, 0)
            case "again":
                self.refused(InvalidState, queue.retry, number, from_start=True)
            case _:
                self.refused(InvalidState, getattr(queue, verb), number)

    @invariant()
    def the_database_says_the_same(self):
        with self.database.reading() as session:
            found = {one.id: one for one in session.scalars(select(Experiment))}
            outcomes = {}
            for one in session.scalars(select(Attempt).order_by(Attempt.experiment_id, Attempt.attempt)):
                outcomes.setdefault(one.experiment_id, []).append(one.outcome)
            epochs = {}
            for number in session.scalars(select(EpochRow.experiment_id)):
                epochs[number] = epochs.get(number, 0) + 1
        said = {
            number: (
                one.status,
                one.attempt,
                one.requested_action,
                one.priority,
                one.epochs_done,
                one.ended_at is not None,
            )
            for number, one in found.items()
        }
        assert said == {
            number: (one.status, one.attempt, one.requested_action, one.priority, one.epochs, one.status in ENDED)
            for number, one in self.experiments.items()
        }
        assert outcomes == {number: one.outcomes for number, one in self.experiments.items() if one.outcomes}
        assert epochs == {number: one.epochs for number, one in self.experiments.items() if one.epochs}


def live(database, examples, steps):
    """Returns how many steps were taken."""
    machine = type("LifeOnIt", (Life,), {"database": database, "steps": 0})
    options = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps, **options))
    return machine.steps


def test_any_verbs_in_any_order_leave_every_experiment_as_a_plain_model_has_it(database):
    assert live(database, examples=25, steps=40) > 200
