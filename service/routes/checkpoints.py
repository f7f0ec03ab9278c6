"""The newest checkpoint of an experiment: its step, its size, and the hash that equal trainings share."""

from fastapi import HTTPException

from normlab.spec.responses import CheckpointResponse
from normlab.store.experiments import checkpoint_summary
from service.http.authorization import guarded_router, needs
from service.routes.responses import ExperimentId, Reading

router = guarded_router("/experiments/{experiment_id}/checkpoint", tag="experiments", statuses=(404, 409))


@router.get("", summary="Read the newest checkpoint's step, size and hash")
@needs("read")
def checkpoint(experiment_id: ExperimentId, reading: Reading) -> CheckpointResponse:
    """Returns 409 before the first checkpoint is recorded."""
    with reading() as session:
        summary = checkpoint_summary(session, experiment_id)
    if summary is None:
        raise HTTPException(409, f"experiment {experiment_id} has no checkpoint yet")
    return CheckpointResponse(step=summary.step, bytes=summary.size, sha256=summary.sha256)
