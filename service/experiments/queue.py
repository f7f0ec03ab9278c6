"""The queue: how an experiment is enqueued, claimed, kept, given back and ended.

Every verb takes a session and never commits: the caller's `with writing.begin()` shows the transaction. A worker's
verb names its claim; if the claim is no longer current it changes nothing and raises ClaimLost.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Double, Update, case, cast, delete, func, insert, select, update
from sqlalchemy.orm import Session

from service.experiments.database import database_now
from service.experiments.errors import ClaimLost, KeyReused, NoSuchExperiment, NotNow
from service.experiments.models import (
    ENDED,
    CheckpointRow,
    EpochRow,
    Experiment,
    HistogramRow,
    TagRow,
)
from service.experiments.spec import ExperimentSpec

MOST_ATTEMPTS = 5  # workers that an experiment may lose


@dataclass(frozen=True)
class Claim:
    """The right to run one experiment, good while its attempt is the current one."""

    experiment_id: int
    attempt: int


def enqueue(session: Session, spec: ExperimentSpec, *, key: str | None = None, digest: str | None = None) -> Experiment:
    """Queue an experiment; with an idempotency key that was used before, return what it made then.

    digest: what the key stands for, a hash of the body. Raises KeyReused if it stood for another body.
    """
    if key is not None:
        before = session.scalar(select(Experiment).where(Experiment.idempotency_key == key))
        if before is not None:
            if before.idempotency_digest != digest:
                raise KeyReused(key)
            return before
    experiment = Experiment(
        created_at=session.scalar(select(database_now())),
        idempotency_key=key,
        idempotency_digest=digest,
        spec=spec.model_dump(mode="json"),
        normalization=spec.normalization,
        dataset=spec.dataset,
        status="queued",
        attempt=0,
        cancel_requested=False,
        epochs_done=0,
        step=0,
    )
    session.add(experiment)
    session.flush()
    if spec.tags:
        session.execute(
            insert(TagRow), [{"experiment_id": experiment.id, "tag": tag} for tag in sorted(set(spec.tags))]
        )
    return experiment


def claim(session: Session, *, worker: str, lease_seconds: float) -> Claim | None:
    """Take the oldest queued experiment, if there is one."""
    oldest = (
        select(Experiment.id).where(Experiment.status == "queued").order_by(Experiment.id).limit(1)
        .with_for_update(skip_locked=True)
    )  # fmt: skip
    row = session.execute(
        update(Experiment)
        .where(Experiment.id == oldest.scalar_subquery(), Experiment.status == "queued")
        .values(
            status="running",
            attempt=Experiment.attempt + 1,
            worker=worker,
            lease_expires_at=database_now() + cast(lease_seconds, Double),
            started_at=func.coalesce(Experiment.started_at, database_now()),
        )
        .returning(Experiment.id, Experiment.attempt)
    ).first()
    return Claim(row.id, row.attempt) if row else None


def heartbeat(session: Session, held: Claim, *, step: int, lease_seconds: float) -> bool:
    """Lengthen the lease and note how far training is; returns whether someone has asked to cancel."""
    row = session.execute(
        _held(held)
        .values(lease_expires_at=database_now() + cast(lease_seconds, Double), step=step)
        .returning(Experiment.cancel_requested)
    ).first()
    if row is None:
        raise _lost(held)
    return bool(row.cancel_requested)


def certify(session: Session, held: Claim, gradient_check: list[dict[str, Any]]) -> None:
    """Note how far each layer's gradients were from autograd's before training."""
    _write(session, held, gradient_check=gradient_check)


def describe(session: Session, held: Claim, *, provenance: dict[str, Any], steps_total: int) -> None:
    """Note what an experiment runs on, and how many steps it will take."""
    _write(session, held, provenance=provenance, steps_total=steps_total)


def give_back(session: Session, held: Claim) -> None:
    """Put a running experiment back into the queue, for any worker to go on from its last checkpoint.

    One whose cancellation was asked for is cancelled instead.
    """
    _write(session, held, worker=None, lease_expires_at=None, **_cancelled_or("queued"))


def succeed(session: Session, held: Claim) -> None:
    """End an experiment whose epochs are all recorded."""
    _write(session, held, status="succeeded", lease_expires_at=None, ended_at=database_now())


def fail(session: Session, held: Claim, error: str) -> None:
    """End an experiment with what went wrong; its records are kept."""
    _write(session, held, status="failed", lease_expires_at=None, ended_at=database_now(), error=error)


def stop_cancelled(session: Session, held: Claim) -> None:
    """End an experiment whose cancellation was asked for; its records are kept."""
    _write(session, held, status="cancelled", lease_expires_at=None, ended_at=database_now())


def requeue_stalled(session: Session) -> int:
    """Put back what is running on a lease that has run out; returns how many those were.

    What was to be cancelled is cancelled instead, and what has lost MOST_ATTEMPTS workers fails: it may be what ends
    them. Their workers' next writes find the attempt gone as soon as somebody claims again, and the status at once.
    """
    stalled = update(Experiment).where(Experiment.status == "running", Experiment.lease_expires_at < database_now())
    given_up = session.execute(
        stalled.where(Experiment.attempt >= MOST_ATTEMPTS, ~Experiment.cancel_requested)
        .values(
            status="failed",
            lease_expires_at=None,
            ended_at=database_now(),
            error=f"its worker was lost, and that after {MOST_ATTEMPTS} attempts or more: it may need more memory than "
            "there is. Retry it if the machine was to blame",
        )
        .returning(Experiment.id)
    )
    put_back = session.execute(
        stalled.values(worker=None, lease_expires_at=None, **_cancelled_or("queued")).returning(Experiment.id)
    )
    return len(given_up.all()) + len(put_back.all())


def cancel(session: Session, experiment_id: int) -> Experiment:
    """Cancel: at once what is queued, at its worker's next heartbeat what is running. Raises NotNow if it has ended."""
    experiment = _locked(session, experiment_id)
    if experiment.status in ENDED:
        raise NotNow(f"experiment {experiment_id} has already {_past(experiment.status)}; it cannot be cancelled")
    experiment.cancel_requested = True
    if experiment.status == "queued":
        experiment.status = "cancelled"
        experiment.ended_at = session.scalar(select(database_now()))
    return experiment


def retry(session: Session, experiment_id: int) -> Experiment:
    """Queue a failed or cancelled experiment again; it goes on from its last checkpoint.

    Raises NotNow if it is in another state, or failed because its loss was not finite: its checkpoint is not either.
    """
    experiment = _locked(session, experiment_id)
    if experiment.status not in ("failed", "cancelled"):
        raise NotNow(f"experiment {experiment_id} is {experiment.status}; only a failed or cancelled one is retried")
    not_finite = select(EpochRow).where(
        EpochRow.experiment_id == experiment_id, EpochRow.train_loss.is_(None) | EpochRow.test_loss.is_(None)
    )
    if session.scalar(select(not_finite.exists())):
        raise NotNow(
            f"experiment {experiment_id} diverged and would again; post it anew with, say, a smaller learning_rate"
        )
    experiment.status, experiment.error, experiment.ended_at = "queued", None, None
    experiment.cancel_requested, experiment.worker = False, None
    return experiment


def remove(session: Session, experiment_id: int) -> None:
    """Delete an experiment and all its records. Raises NotNow while it runs."""
    experiment = _locked(session, experiment_id)
    if experiment.status == "running":
        raise NotNow(f"experiment {experiment_id} is running; cancel it first")
    for table in (TagRow, EpochRow, HistogramRow, CheckpointRow):
        session.execute(delete(table).where(table.experiment_id == experiment_id))
    session.delete(experiment)


def still_held(session: Session, held: Claim, **values: Any) -> None:
    """Check that the claim is current, in the caller's transaction, and set columns of the experiment in passing."""
    _write(session, held, **(values or {"attempt": held.attempt}))


def _cancelled_or(status: str) -> dict[str, Any]:
    """The columns of an experiment that nobody runs any more."""
    asked = Experiment.cancel_requested
    return {
        "status": case((asked, "cancelled"), else_=status),
        "ended_at": case((asked, database_now()), else_=None),
    }


def _held(held: Claim) -> Update:
    return update(Experiment).where(
        Experiment.id == held.experiment_id, Experiment.attempt == held.attempt, Experiment.status == "running"
    )


def _write(session: Session, held: Claim, **values: Any) -> None:
    if session.execute(_held(held).values(**values).returning(Experiment.id)).first() is None:
        raise _lost(held)


def _lost(held: Claim) -> ClaimLost:
    return ClaimLost(f"attempt {held.attempt} of experiment {held.experiment_id} is no longer the current one")


def _locked(session: Session, experiment_id: int) -> Experiment:
    experiment = session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise NoSuchExperiment(experiment_id)
    return experiment


def _past(status: str) -> str:
    return status if status != "cancelled" else "been cancelled"
