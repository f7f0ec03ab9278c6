"""The tables. Times are UTC seconds since 1970 by the database's own clock."""

from normlab.store.models.base import Base
from normlab.store.models.experiments import Attempt, Experiment, GroupRow, IdempotencyKeyRow, TagRow
from normlab.store.models.operation import ApiKeyRow, WorkerRow
from normlab.store.models.records import CheckpointRow, EpochRow, GradientCheckRow, HistogramRow

__all__ = [
    "ApiKeyRow",
    "Attempt",
    "Base",
    "CheckpointRow",
    "EpochRow",
    "Experiment",
    "GradientCheckRow",
    "GroupRow",
    "HistogramRow",
    "IdempotencyKeyRow",
    "TagRow",
    "WorkerRow",
]
