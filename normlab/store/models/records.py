"""The tables of what workers record: metrics, histograms, checkpoints and requested gradient checks."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from normlab.store.histograms import SCALARS
from normlab.store.models.base import Base


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
