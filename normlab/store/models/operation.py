"""The tables of API keys and workers."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from normlab.store.models.base import Base


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
