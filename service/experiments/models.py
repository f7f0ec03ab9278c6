"""The tables. Times are UTC seconds since 1970 by the database's own clock."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

STATUSES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
ENDED = ("succeeded", "failed", "cancelled")


class Base(DeclarativeBase):
    """Every constraint has a name, so that migrations can speak of it."""

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
    """An experiment: what it is, who runs it, what came of it."""

    __tablename__ = "experiments"
    __table_args__ = (
        CheckConstraint(f"status IN ({', '.join(map(repr, STATUSES))})", name="status"),
        CheckConstraint("(status = 'running') = (lease_expires_at IS NOT NULL)", name="running_has_a_lease"),
        CheckConstraint("wish IN ('cancel', 'pause')", name="wish"),
        Index("ix_experiments_status_id", "status", "id"),
        Index("ix_experiments_claim", "status", "priority", "group", "id"),
        {"sqlite_autoincrement": True},  # an id is never given twice, so its figures may be cached for ever
    )

    # Identity.
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    created_at: Mapped[float] = mapped_column(Double)
    idempotency_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    idempotency_digest: Mapped[str | None] = mapped_column(String(64))

    # Spec: the whole of it, and beside it what lists are filtered by.
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    normalization: Mapped[str] = mapped_column(String(40))
    dataset: Mapped[str] = mapped_column(String(40))

    # Place in the queue: groups take turns within a priority. "" is the group of those that have none.
    group: Mapped[str] = mapped_column(String(64))
    priority: Mapped[int]

    # Claim: attempt counts the claims; a write of an earlier one changes nothing. wish: what its worker is to do.
    status: Mapped[str] = mapped_column(String(10))
    attempt: Mapped[int]
    attempts_before: Mapped[int]  # it was last retried; those do not count any more
    worker: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[float | None] = mapped_column(Double)
    wish: Mapped[str | None] = mapped_column(String(10))
    max_run_seconds: Mapped[float | None] = mapped_column(Double)

    # Progress.
    epochs_done: Mapped[int]
    step: Mapped[int]
    steps_total: Mapped[int | None]

    # Outcome.
    started_at: Mapped[float | None] = mapped_column(Double)
    ended_at: Mapped[float | None] = mapped_column(Double)
    error: Mapped[str | None] = mapped_column(Text)
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    gradient_check: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)


class Attempt(Base):
    """One claim of one experiment: who had it, on what, and how that ended."""

    __tablename__ = "attempts"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)

    worker: Mapped[str] = mapped_column(String(200))
    claimed_at: Mapped[float] = mapped_column(Double)
    resumed_at_step: Mapped[int | None]
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSON)

    ended_at: Mapped[float | None] = mapped_column(Double)
    outcome: Mapped[str | None] = mapped_column(String(10))  # as the statuses, or: given back, lost
    detail: Mapped[str | None] = mapped_column(Text)


class GroupRow(Base):
    """When a group last had a claim, so that groups take turns."""

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
    """One quantity of one layer at one captured step: its statistics, and its bins packed."""

    __tablename__ = "histograms"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    quantity: Mapped[str] = mapped_column(String(40), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]

    zeros: Mapped[int] = mapped_column(BigInteger)
    nans: Mapped[int] = mapped_column(BigInteger)
    positive_infinities: Mapped[int] = mapped_column(BigInteger)
    negative_infinities: Mapped[int] = mapped_column(BigInteger)
    minimum: Mapped[float | None] = mapped_column(Double)
    maximum: Mapped[float | None] = mapped_column(Double)
    total: Mapped[float] = mapped_column(Double)
    total_of_squares: Mapped[float] = mapped_column(Double)
    bins: Mapped[bytes] = mapped_column(LargeBinary)


class CheckpointRow(Base):
    """The newest checkpoint of an experiment: what its training goes on from, after so many steps."""

    __tablename__ = "checkpoints"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str] = mapped_column(String(64))


class ApiKeyRow(Base):
    """A key to the service. Of its secret only a hash is kept, so that who reads the table has no key."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("scope IN ('read', 'write')", name="scope"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str] = mapped_column(String(5))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Double)
    revoked_at: Mapped[float | None] = mapped_column(Double)


class WorkerRow(Base):
    """A worker that was up not long ago: what it runs on, and what it has done since it started."""

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
