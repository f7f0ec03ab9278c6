"""A worker's settings, NORMLAB_*, read once."""

from pathlib import Path

from pydantic import Field

from service.experiments.claims import MOST_ATTEMPTS
from service.experiments.settings import DatabaseSettings

A_WEEK = 604_800


class WorkerSettings(DatabaseSettings):
    """data_dir: where data sets lie or are put. lease_seconds: how long a silent worker keeps its experiment.
    hang_seconds: how long a training may go without a step; start_seconds: until its first, in which data sets are
    downloaded, networks checked and engines compiled. most_attempts: how many an experiment may lose.
    """

    data_dir: Path = Path("data")
    lease_seconds: float = Field(default=30.0, ge=0.5, le=86_400)  # it is renewed three times in each
    poll_seconds: float = Field(default=0.5, ge=0.01, le=3600)
    hang_seconds: float = Field(default=900.0, ge=1, le=A_WEEK)
    start_seconds: float = Field(default=7200.0, ge=1, le=A_WEEK)
    most_attempts: int = Field(default=MOST_ATTEMPTS, ge=1, le=1_000_000)
