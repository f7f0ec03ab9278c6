"""The JSON responses about the service itself: its workers, its health, and why it refused a request."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class WorkerResponse(BaseModel):
    """A worker that was active in the last seconds."""

    name: str = Field(description="Host name, process id and number of the worker, which together are unique.")
    started_at: datetime = Field(description="When the worker started, UTC.")
    seen_at: datetime = Field(description="When the worker last wrote its status, UTC.")
    device: str | None = Field(description="Device of its trainings; null before the first.")
    threads: int | None = Field(
        description="Number of CPU threads that its trainings may use; null before it is ready."
    )
    experiment: int | None = Field(description="Number of the experiment that it trains; null if it has none.")
    attempt: int | None = Field(description="Number of that experiment's attempt; null if it has none.")
    steps_per_second: float = Field(description="Training steps per second, measured lately.")
    images_per_second: float | None = Field(
        description="Training images per second in its experiment's last recorded epoch; null before the first."
    )
    claims: int = Field(description="Number of experiments that it has claimed since it started.")
    takeovers: int = Field(description="Number of expired leases that it has found since it started.")
    refused_writes: int = Field(
        description="Number of its writes that were refused since it started, because its claim was no longer current."
    )
    steps: int = Field(description="Number of training steps that it has done since it started.")


class WorkersResponse(BaseModel):
    """The active workers."""

    workers: list[WorkerResponse] = Field(description="The workers, oldest first.")


class AliveResponse(BaseModel):
    """The response of a service whose process runs."""

    status: Literal["alive"] = Field(description="Always `alive`: a process that is not alive returns nothing.")


class ReadyResponse(BaseModel):
    """The response of a service that is ready."""

    status: Literal["ready"] = Field(description="Always `ready`: a service that is not ready returns 503.")


class FieldError(BaseModel):
    """One error of a request: which field it is about, what was expected there and what was sent."""

    field: str = Field(
        description="Name of the field or parameter, such as `network[0].channels`; `body` for the whole."
    )
    expected: str = Field(description="What was expected.")
    got: str = Field(description="What was sent, shortened if it is long.")


class Problem(BaseModel):
    """A problem document (RFC 9457): why a request was refused or failed."""

    type: str = Field(description="Always `about:blank`: the status says what kind of problem it is.")
    title: str = Field(description="Name of the status, such as `Not Found`.")
    status: int = Field(ge=400, le=599, description="HTTP status of the response.")
    detail: str = Field(description="What was expected and what was sent, or what to try.")
    errors: list[FieldError] = Field(default=[], description="With status 422: every error, at most 20 of them.")
