"""For an operator: the metrics in Prometheus' format, and the active workers."""

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from normlab.spec.service_responses import WorkerResponse, WorkersResponse
from normlab.store import workers
from normlab.store.models import EpochRow, Experiment, WorkerRow
from service.http.authorization import guarded_router, needs
from service.routes.responses import Reading, to_datetime

router = guarded_router(tag="monitoring")


@router.get("/workers", summary="List the active workers")
@needs("read")
def listing(reading: Reading) -> WorkersResponse:
    """Each with its device and its experiment. A worker that was killed stays in the list for some seconds."""
    with reading() as session:
        active = workers.active_workers(session)
    return WorkersResponse(workers=[_response(*row) for row in active])


@router.get("/metrics", summary="Read the metrics in Prometheus' format", response_class=PlainTextResponse)
@needs("read", database=False)
def metrics(request: Request) -> Response:
    """Requests, rendering and the event loop; also the queue and the workers, if the database is ready."""
    return Response(request.app.state.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})


def _response(row: WorkerRow, experiment: Experiment | None, epoch: EpochRow | None) -> WorkerResponse:
    return WorkerResponse(
        name=row.name,
        started_at=to_datetime(row.started_at),
        seen_at=to_datetime(row.seen_at),
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
