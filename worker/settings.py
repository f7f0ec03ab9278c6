"""A worker's settings, NORMLAB_*, read once."""

from pathlib import Path

from pydantic import Field

from service.experiments.claims import MOST_ATTEMPTS
from service.experiments.settings import DatabaseSettings


class WorkerSettings(DatabaseSettings):
    """data_dir: where data sets lie or are put. lease_seconds: how long a silent worker keeps its experiment.
    hang_seconds: how long a training may go without a step; start_seconds: until its first, in which data sets are
    downloaded, networks checked and engines compiled. most_attempts: how many an experiment may lose.
    """

    data_dir: Path = Path("data")
    lease_seconds: float = Field(default=30.0, gt=0)
    poll_seconds: float = Field(default=0.5, gt=0)
    hang_seconds: float = Field(default=900.0, gt=0)
    start_seconds: float = Field(default=7200.0, gt=0)
    most_attempts: int = Field(default=MOST_ATTEMPTS, ge=1)
