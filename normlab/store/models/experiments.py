"""The tables of experiments: their state, attempts, groups, tags and idempotency keys."""

import secrets
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from normlab.spec.lifecycle import AttemptOutcome, Phase, RequestedAction, Status
from normlab.store.models.base import Base, enum_column, one_of

# By code points on both databases. PostgreSQL's own order would depend on the language of the server.
_FOLDED = Text().with_variant(Text(collation="C"), "postgresql")


def _new_revision() -> str:
    return secrets.token_hex(16)


class Experiment(Base):
    """An experiment: its spec, its position in the queue, its claim, its progress and its outcome."""

    __tablename__ = "experiments"
    __table_args__ = (
        one_of("status", Status),
        CheckConstraint("(status = 'running') = (lease_expires_at IS NOT NULL)", name="running_has_a_lease"),
        one_of("requested_action", RequestedAction),
        Index("ix_experiments_status_id", "status", "id"),
        Index("ix_experiments_claim", "status", "priority", "queue_group", "id"),
        {"sqlite_autoincrement": True},  # SQLite would give the id of a deleted experiment to a new one
    )

    # Identity.
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    created_at: Mapped[float] = mapped_column(Double)

    # A random token that every write replaces, except a renewed lease. Equal tokens mean equal records, even after a
    # backup was restored and other experiments were posted under the same ids.
    revision: Mapped[str] = mapped_column(String(32), default=_new_revision, onupdate=_new_revision, server_default="")

    # Spec: the whole of it, and the fields that lists show and are filtered by in columns of their own.
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    name: Mapped[str | None] = mapped_column(String(200))
    name_folded: Mapped[str | None] = mapped_column(_FOLDED)  # the name as lists compare it
    normalization: Mapped[str] = mapped_column(String(40))
    dataset: Mapped[str] = mapped_column(String(40))
    seed: Mapped[int] = mapped_column(BigInteger)

    # Position in the queue: within a priority, groups take turns. An experiment without a group has the group "".
    queue_group: Mapped[str] = mapped_column(String(64))
    priority: Mapped[int]

    # Claim. `attempt` counts the claims. It is the fencing token: a write that names an earlier one changes nothing.
    status: Mapped[Status] = mapped_column(enum_column(Status))
    attempt: Mapped[int]
    attempts_before_retry: Mapped[int]  # the attempts up to this one do not count as lost any more
    worker: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[float | None] = mapped_column(Double)
    requested_action: Mapped[RequestedAction | None] = mapped_column(enum_column(RequestedAction))
    max_run_seconds: Mapped[float | None] = mapped_column(Double)

    # Progress.
    epochs_done: Mapped[int]
    epochs_total: Mapped[int]
    step: Mapped[int]
    steps_total: Mapped[int | None]

    # What its worker is doing, by the last heartbeat. It says nothing once the experiment no longer runs.
    phase: Mapped[Phase | None] = mapped_column(enum_column(Phase))
    images_per_second: Mapped[float | None] = mapped_column(Double)
    seconds_left: Mapped[float | None] = mapped_column(Double)

    # Metrics of the last epoch and the best one. They repeat the table of epochs, so that a list need not read it.
    last_train_loss: Mapped[float | None] = mapped_column(Double)
    last_test_loss: Mapped[float | None] = mapped_column(Double)
    last_test_accuracy: Mapped[float | None] = mapped_column(Double)
    best_test_accuracy: Mapped[float | None] = mapped_column(Double)

    # Outcome. A warning has the fields of ExperimentWarning.
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(JSON, server_default="[]")
    started_at: Mapped[float | None] = mapped_column(Double)
    ended_at: Mapped[float | None] = mapped_column(Double)
    error: Mapped[str | None] = mapped_column(Text)
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    gradient_check: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class IdempotencyKeyRow(Base):
    """An idempotency key and the experiment that its first request created.

    api_key is the id of the API key that sent it, "" for a request without one. digest is a hash of the request's body.
    """

    __tablename__ = "idempotency_keys"

    api_key: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), index=True)


class Attempt(Base):
    """One claim of one experiment: its worker, what it ran on, and how it ended."""

    __tablename__ = "attempts"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)

    worker: Mapped[str] = mapped_column(String(200))
    claimed_at: Mapped[float] = mapped_column(Double)
    resumed_at_step: Mapped[int | None]
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSON)

    ended_at: Mapped[float | None] = mapped_column(Double)
    outcome: Mapped[AttemptOutcome | None] = mapped_column(enum_column(AttemptOutcome))
    detail: Mapped[str | None] = mapped_column(Text)


class GroupRow(Base):
    """A group and when an experiment of it was last claimed. Groups take turns by this time."""

    __tablename__ = "experiment_groups"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    claimed_at: Mapped[float | None] = mapped_column(Double)


class TagRow(Base):
    """One tag of one experiment."""

    __tablename__ = "experiment_tags"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
