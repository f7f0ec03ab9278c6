"""The queue against a plain model of it: any verb at any time, by workers whose claims are current or stale.

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
from tests.factories import metrics_of, record_of

pytestmark = pytest.mark.slow

ENDED = ("succeeded", "failed", "cancelled")
ENDS = {  # the verbs that end a claim, and their arguments
    "succeed": (claims.succeed, {}), "fail": (claims.fail, {"error": "it broke"}), "cancel": (claims.cancel, {}),
    "release": (claims.release, {}),
    "mark_lost": (lost_attempts.mark_lost, {"detail": "it died", "max_attempts": 2}),
}  # fmt: skip
REPEATABLE = {  # the outcomes after which each verb may be repeated for the same attempt
    "succeed": {"succeeded"}, "fail": {"failed"}, "cancel": {"cancelled"},
    "release": {"released", "cancelled", "paused"}, "mark_lost": set(),
}  # fmt: skip


@dataclass
class Model:
    """The expected state of an experiment."""

    group: str
    priority: int = 0
    status: str = "queued"
    attempt: int = 0
    lost: int = 0
    requested_action: str | None = None
    epochs: int = 0
    is_stalled: bool = False
    outcomes: list = field(default_factory=list)

    @property
    def waits(self):
        return self.status in ("queued", "paused")

    @property
    def has_ended(self):
        return self.status in ENDED

    @property
    def accuracy(self):
        return metrics_of(self.epochs - 1).test_accuracy if self.epochs else None

    def end_attempt(self, outcome, status):
        self.outcomes[-1] = outcome
        self.requested_action, self.is_stalled, self.status = None, False, status

    def lose(self):
        self.lost += 1
        has_failed = self.requested_action is None and self.lost >= 2
        self.end_attempt("lost", "failed" if has_failed else self.status_after("queued"))

    def request(self, action, status):
        self.requested_action, self.status = (None, status) if self.waits else (action, "running")
        if self.is_stalled:
            self.lose()

    def status_after(self, status):
        return {"cancel": "cancelled", "pause": "paused", None: status}[self.requested_action]


class QueueMachine(RuleBasedStateMachine):
    """Runs verbs on the database and on the models. `run_machine` sets database and counts steps."""

    database = None
    steps = 0

    def __init__(self):
        super().__init__()
        self.models, self.claims = {}, []
        with self.database.writing.begin() as session:
            for table in (CheckpointRow, EpochRow, Attempt, Experiment, GroupRow):
                session.execute(delete(table))
            session.add(GroupRow(name=""))
        self.turns = []  # the groups that had a claim, the last one at the end

    def do(self, verb, *arguments, **options):
        type(self).steps += 1
        with self.database.writing.begin() as session:
            return verb(session, *arguments, **options)

    def refused(self, error, verb, /, *arguments, **options):
        try:
            self.do(verb, *arguments, **options)
        except error:
            return
        raise AssertionError(f"{verb.__name__} was not refused")

    def any_experiment(self, data):
        return data.draw(st.sampled_from(sorted(self.models)))

    def any_claim(self, data):
        """A claim, and the model of its experiment if it is current."""
        claim = data.draw(st.sampled_from(self.claims))
        model = self.models.get(claim.experiment_id)
        is_current = model is not None and model.status == "running" and model.attempt == claim.attempt
        return claim, model if is_current else None

    def outcome_of(self, claim):
        """How the claim's attempt ended. None: it has not ended, or its experiment is deleted."""
        model = self.models.get(claim.experiment_id)
        return None if model is None else model.outcomes[claim.attempt - 1]

    @rule(group=st.sampled_from(["", "a", "b"]), priority=st.integers(-1, 1))
    def enqueue(self, group, priority):
        spec = ExperimentSpec(dataset="digits", group=group or None, priority=priority)
        (experiment,) = self.do(enqueue_all, [Submission(spec)])
        self.models[experiment.id] = Model(group, priority)

    @rule()
    def claim(self):
        queued = {number: model for number, model in self.models.items() if model.status == "queued"}
        claim = self.do(claims.claim, worker="w", lease_seconds=1000)
        if not queued:
            assert claim is None
            return
        highest = max(model.priority for model in queued.values())
        groups = {model.group for model in queued.values() if model.priority == highest}
        model = queued[claim.experiment_id]
        assert model.priority == highest
        without_turn = [group for group in groups if group not in self.turns]
        assert model.group in without_turn if without_turn else model.group == min(groups, key=self.turns.index)
        assert claim.experiment_id == min(
            number for number, each in queued.items() if (each.priority, each.group) == (highest, model.group)
        )
        self.turns = [group for group in self.turns if group != model.group] + [model.group]
        model.status, model.attempt = "running", model.attempt + 1
        model.outcomes.append(None)
        assert claim.attempt == model.attempt
        self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def heartbeat(self, data):
        claim, model = self.any_claim(data)
        if model is None:
            self.refused(ClaimLost, claims.heartbeat, claim, step=1, lease_seconds=1000)
            return
        assert self.do(claims.heartbeat, claim, step=model.epochs, lease_seconds=1000) == model.requested_action
        model.is_stalled = False

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def record(self, data):
        claim, model = self.any_claim(data)
        if model is None:
            self.refused(ClaimLost, records.record, claim, record_of(0))
            return
        self.do(records.record, claim, record_of(model.epochs, layers=range(1, 2)))
        model.epochs += 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(list(ENDS)))
    def end(self, data, end):
        claim, model = self.any_claim(data)
        verb, options = ENDS[end]
        if model is None and self.outcome_of(claim) in REPEATABLE[end]:
            self.do(verb, claim, **options)  # a worker that lost the reply repeats the end, which changes nothing
            return
        if model is None:
            self.refused(ClaimLost, verb, claim, **options)
            return
        self.do(verb, claim, **options)
        if end == "mark_lost":
            model.lose()
        else:
            ended = {"succeed": "succeeded", "fail": "failed", "cancel": "cancelled"}
            status = ended.get(end, model.status_after("queued"))
            model.end_attempt("released" if status == "queued" else status, status)

    @rule()
    def requeue_stalled(self):
        stalled = [model for model in self.models.values() if model.is_stalled]
        assert self.do(lost_attempts.requeue_stalled, max_attempts=2) == len(stalled)
        for model in stalled:
            model.lose()

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def expire(self, data):
        number = self.any_experiment(data)
        if self.models[number].status == "running":
            self.models[number].is_stalled = True
            self.do(lambda session: session.execute(
                update(Experiment).where(Experiment.id == number).values(lease_expires_at=1.0)
            ))  # fmt: skip

    @precondition(lambda self: self.models)
    @rule(data=st.data(), verb=st.sampled_from(["cancel", "pause", "resume", "prioritize", "retry", "again", "remove"]))
    def change(self, data, verb):
        number = self.any_experiment(data)
        model = self.models[number]
        match verb:
            case "cancel" if not model.has_ended:
                self.do(queue.cancel, number)
                model.request("cancel", "cancelled")
            case "pause" if not model.has_ended and model.requested_action != "cancel":
                self.do(queue.pause, number)
                model.request("pause", "paused")
            case "resume" if not model.has_ended:
                self.do(queue.resume, number)
                model.requested_action = None if model.requested_action == "pause" else model.requested_action
                model.status = "queued" if model.status == "paused" else model.status
            case "prioritize" if model.waits:
                model.priority = data.draw(st.integers(-1, 1))
                self.do(queue.prioritize, number, model.priority)
            case "retry" | "again" if model.status in ("failed", "cancelled"):
                self.do(queue.retry, number, from_start=verb == "again")
                model.status, model.lost = "queued", 0
                model.epochs = 0 if verb == "again" else model.epochs
            case "remove" if model.status != "running" or data.draw(st.booleans()):
                self.do(queue.remove, number, force=model.status == "running")
                del self.models[number]
            case "prioritize":
                self.refused(InvalidState, queue.prioritize, number, 0)
            case "again":
                self.refused(InvalidState, queue.retry, number, from_start=True)
            case _:
                self.refused(InvalidState, getattr(queue, verb), number)

    @invariant()
    def database_equals_models(self):
        with self.database.reading() as session:
            rows = {row.id: row for row in session.scalars(select(Experiment))}
            outcomes = {}
            for row in session.scalars(select(Attempt).order_by(Attempt.experiment_id, Attempt.attempt)):
                outcomes.setdefault(row.experiment_id, []).append(row.outcome)
            epochs = {}
            for number in session.scalars(select(EpochRow.experiment_id)):
                epochs[number] = epochs.get(number, 0) + 1
        assert {
            number: (row.status, row.attempt, row.requested_action, row.priority, row.epochs_done, bool(row.ended_at))
            for number, row in rows.items()
        } == {
            number: (each.status, each.attempt, each.requested_action, each.priority, each.epochs, each.has_ended)
            for number, each in self.models.items()
        }
        accuracies = {number: (row.last_test_accuracy, row.best_test_accuracy) for number, row in rows.items()}
        assert accuracies == {number: (each.accuracy,) * 2 for number, each in self.models.items()}
        assert outcomes == {number: model.outcomes for number, model in self.models.items() if model.outcomes}
        assert epochs == {number: model.epochs for number, model in self.models.items() if model.epochs}


def run_machine(database, examples, steps):
    """Run random verbs, and return how many were run."""
    machine = type("QueueMachineOnDatabase", (QueueMachine,), {"database": database, "steps": 0})
    options = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps, **options))
    return machine.steps


def test_any_verbs_agree_with_the_model(database):
    """After any verbs in any order the database holds what a plain model says."""
    assert run_machine(database, examples=25, steps=40) > 200
