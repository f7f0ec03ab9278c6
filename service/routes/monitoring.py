"""For who watches over it: metrics for a monitor, and the workers that are up."""

from datetime import datetime

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from normlab.store import workers
from service.authorization import needs, routes
from service.routes.responses import Reading, moment

router = routes(tag="monitoring")


class WorkerResponse(BaseModel):
    """A worker that was seen in the last seconds. device and threads are null until its first training."""

    name: str = Field(description="Its machine, process and place in the process.")
    started_at: datetime
    seen_at: datetime
    device: str | None
    threads: int | None
    experiment: int | None = Field(description="What it trains; null: it waits.")
    attempt: int | None
    steps_per_second: float
    images_per_second: float | None = Field(description="In the last epoch recorded of what it trains.")
    claims: int
    takeovers: int = Field(description="Experiments it found with a lease that had run out.")
    refused_writes: int = Field(description="Writes of it, or of its training, refused since the claim was lost.")
    steps: int


class WorkersResponse(BaseModel):
    """All of them, oldest first."""

    workers: list[WorkerResponse]


@router.get("/workers", summary="Who is there to train, on what device, doing what")
@needs("read")
def listing(reading: Reading) -> WorkersResponse:
    """Those seen lately; one that was killed is listed for some seconds yet."""
    with reading() as session:
        there = workers.active_workers(session)
    return WorkersResponse(
        workers=[
            WorkerResponse(
                name=row.name,
                started_at=moment(row.started_at),
                seen_at=moment(row.seen_at),
                device=row.device,
                threads=row.threads,
                experiment=experiment.id if experiment else None,
                attempt=experiment.attempt if experiment else None,
                steps_per_second=row.steps_per_second,
                images_per_second=epoch.images_per_second if epoch else None,
                claims=row.claims,
                takeovers=row.takeovers,
                refused_writes=row.refused_writes,
                steps=row.steps,
            )
            for row, experiment, epoch in there
        ]
    )


@router.get("/metrics", summary="PrometheusMetrics in Prometheus' text", response_class=PlainTextResponse)
@needs("read", database=False)
def metrics(request: Request) -> Response:
    """Requests, drawings, the event loop; the queue and the workers, unless the database is not ready."""
    return Response(request.app.state.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})
