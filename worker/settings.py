"""A worker's settings, NORMLAB_*, read once."""

from pathlib import Path

from pydantic import Field

from normlab.process.settings import DatabaseSettings
from normlab.store.lost_attempts import MAX_ATTEMPTS

A_WEEK = 604_800


class WorkerSettings(DatabaseSettings):
    """data_dir: where data sets are stored. lease_seconds: how long a worker keeps its experiment without a heartbeat.
    poll_interval_seconds: how often an idle worker looks for an experiment. step_timeout_seconds: how long a training
    may go without a step. startup_timeout_seconds: how long until its first step, in which data sets are downloaded,
    gradients checked and engines compiled. max_attempts: how many attempts an experiment may lose.
    """

    data_dir: Path = Path("data")
    lease_seconds: float = Field(default=30.0, ge=0.5, le=86_400)  # it is renewed three times in each
    poll_interval_seconds: float = Field(default=0.5, ge=0.01, le=3600)
    step_timeout_seconds: float = Field(default=900.0, ge=1, le=A_WEEK)
    startup_timeout_seconds: float = Field(default=7200.0, ge=1, le=A_WEEK)
    max_attempts: int = Field(default=MAX_ATTEMPTS, ge=1, le=1_000_000)
