"""The tables. Times are UTC seconds since 1970 by the database's own clock."""

import secrets
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from normlab.spec.lifecycle import AttemptOutcome, Phase, RequestedAction, Status
from normlab.store.histograms import SCALARS

# By code points on both databases. PostgreSQL's own order would depend on the language of the server.
_FOLDED = Text().with_variant(Text(collation="C"), "postgresql")


def _enum(kind: type[StrEnum]) -> Enum:
    """A column that holds the values of an enumeration as text."""
    return Enum(kind, native_enum=False, length=10, values_callable=lambda members: [each.value for each in members])


def _one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """A constraint that allows the values of an enumeration alone."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(each.value) for each in kind)})", name=column)


def _new_revision() -> str:
    return secrets.token_hex(16)


class Base(DeclarativeBase):
    """The tables' base. It names every constraint, because a migration can only change a named one."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Experiment(Base):
    """An experiment: its spec, its position in the queue, its claim, its progress and its outcome."""

    __tablename__ = "experiments"
    __table_args__ = (
        _one_of("status", Status),
        CheckConstraint("(status = 'running') = (lease_expires_at IS NOT NULL)", name="running_has_a_lease"),
        _one_of("requested_action", RequestedAction),
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
    status: Mapped[Status] = mapped_column(_enum(Status))
    attempt: Mapped[int]
    attempts_before_retry: Mapped[int]  # the attempts up to this one do not count as lost any more
    worker: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[float | None] = mapped_column(Double)
    requested_action: Mapped[RequestedAction | None] = mapped_column(_enum(RequestedAction))
    max_run_seconds: Mapped[float | None] = mapped_column(Double)

    # Progress.
    epochs_done: Mapped[int]
    epochs_total: Mapped[int]
    step: Mapped[int]
    steps_total: Mapped[int | None]

    # What its worker is doing, by the last heartbeat. It says nothing once the experiment no longer runs.
    phase: Mapped[Phase | None] = mapped_column(_enum(Phase))
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
    outcome: Mapped[AttemptOutcome | None] = mapped_column(_enum(AttemptOutcome))
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


class EpochRow(Base):
    """One epoch's metrics."""

    __tablename__ = "epochs"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)

    train_loss: Mapped[float | None] = mapped_column(Double)
    train_accuracy: Mapped[float] = mapped_column(Double)
    test_loss: Mapped[float | None] = mapped_column(Double)
    test_accuracy: Mapped[float] = mapped_column(Double)
    train_seconds: Mapped[float] = mapped_column(Double)
    test_seconds: Mapped[float] = mapped_column(Double)
    images_per_second: Mapped[float] = mapped_column(Double)


class HistogramRow(Base):
    """One quantity of one layer at one captured step: its bins packed, and a column for each of its SCALARS."""

    __tablename__ = "histograms"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    quantity: Mapped[str] = mapped_column(String(40), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]

    bins: Mapped[bytes] = mapped_column(LargeBinary)


for _name, _type in SCALARS.items():
    setattr(
        HistogramRow,
        _name,
        mapped_column(BigInteger if _type is int else Double, nullable=_type == float | None),
    )


class CheckpointRow(Base):
    """The newest checkpoint of an experiment: the state of its training after `step` steps."""

    __tablename__ = "checkpoints"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str] = mapped_column(String(64))


class GradientCheckRow(Base):
    """One requested gradient check of an experiment at its newest checkpoint: its claim, and its result or error.

    `attempt` counts the claims and is the fencing token. lost_attempts: how many ended without a result.
    """

    __tablename__ = "gradient_checks"
    __table_args__ = (
        Index("ix_gradient_checks_open", "ended_at", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), index=True)
    requested_at: Mapped[float] = mapped_column(Double)

    attempt: Mapped[int]
    lost_attempts: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[float | None] = mapped_column(Double)

    ended_at: Mapped[float | None] = mapped_column(Double)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)


class ApiKeyRow(Base):
    """An API key. Only a hash of its secret is stored, so a reader of the table cannot use it."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("scope IN ('read', 'write')", name="scope"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str] = mapped_column(String(5))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Double)
    revoked_at: Mapped[float | None] = mapped_column(Double)


class WorkerRow(Base):
    """A worker seen in the last hour: what it runs on, and its counters since it started."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    started_at: Mapped[float] = mapped_column(Double)
    seen_at: Mapped[float] = mapped_column(Double)

    device: Mapped[str | None] = mapped_column(String(200))
    threads: Mapped[int | None]
    steps_per_second: Mapped[float] = mapped_column(Double)

    claims: Mapped[int]
    takeovers: Mapped[int]
    refused_writes: Mapped[int]
    steps: Mapped[int] = mapped_column(BigInteger)
