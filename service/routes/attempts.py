"""The attempts of an experiment: which worker ran it, on what, from which step on, and how that ended."""

from normlab.spec.responses import AttemptResponse, AttemptsResponse
from normlab.store.experiments import list_attempts
from normlab.store.models import Attempt
from service.http.authorization import guarded_router, needs
from service.routes.responses import ExperimentId, Reading, to_datetime

router = guarded_router("/experiments/{experiment_id}/attempts", tag="experiments", statuses=(404,))


@router.get("", summary="List the attempts of an experiment")
@needs("read")
def attempts(experiment_id: ExperimentId, reading: Reading) -> AttemptsResponse:
    """One row per claim. An experiment that was resumed or retried has several."""
    with reading() as session:
        rows = list_attempts(session, experiment_id)
    return AttemptsResponse(attempts=[_response(row) for row in rows])


def _response(row: Attempt) -> AttemptResponse:
    provenance = row.provenance or {}
    return AttemptResponse(
        attempt=row.attempt,
        worker=row.worker,
        claimed_at=to_datetime(row.claimed_at),
        resumed_at_step=row.resumed_at_step,
        device=provenance.get("device"),
        threads=provenance.get("threads"),
        engine=provenance.get("engine"),
        differs=provenance.get("differs", []),
        ended_at=None if row.ended_at is None else to_datetime(row.ended_at),
        outcome=row.outcome,
        detail=row.detail,
    )
