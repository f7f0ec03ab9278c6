"""The settings of a worker."""

from pydantic import Field, field_validator

from normlab.process.settings import DatabaseSettings, check_data_dir
from normlab.store.lost_attempts import MAX_ATTEMPTS

A_WEEK = 604_800


class WorkerSettings(DatabaseSettings):
    """The settings of a worker, read once from environment variables named NORMLAB_*."""

    lease_seconds: float = Field(
        default=30.0,
        ge=0.5,
        le=86_400,
        description="How long a worker keeps its experiment without a heartbeat. It sends three heartbeats per lease.",
    )
    poll_interval_seconds: float = Field(
        default=0.5,
        ge=0.01,
        le=3600,
        description="How long an idle worker waits between two checks of the queue.",
    )
    step_timeout_seconds: float = Field(
        default=900.0,
        ge=1,
        le=A_WEEK,
        description="How long a training may take to advance before it counts as hung and its process is killed.",
    )
    startup_timeout_seconds: float = Field(
        default=7200.0,
        ge=1,
        le=A_WEEK,
        description="The same before its first step: data sets are downloaded, gradients checked, engines compiled.",
    )
    max_attempts: int = Field(
        default=MAX_ATTEMPTS,
        ge=1,
        le=1_000_000,
        description="How many attempts of an experiment may be lost before it fails.",
    )

    _check_data_dir = field_validator("data_dir")(check_data_dir)
