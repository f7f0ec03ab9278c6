"""Where an experiment could go on from: how far its last checkpoint is, and the hash that two like trainings share."""

from fastapi import HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from normlab.store.models import CheckpointRow
from service.authorization import needs, routes
from service.routes.responses import ExperimentId, Reading, existing

router = routes("/experiments/{experiment_id}/checkpoint", tag="experiments", may_answer=(404, 409))


class CheckpointResponse(BaseModel):
    """The newest one; older ones are not kept."""

    step: int = Field(description="How many training steps were done.")
    bytes: int
    sha256: str = Field(
        description="Of weights, optimizer and running statistics: two trainings of one spec on the same device, "
        "threads and engine have the same at the end of an epoch, however often they were interrupted."
    )


@router.get("", summary="How far the last checkpoint is, and its hash")
@needs("read")
def checkpoint(experiment_id: ExperimentId, reading: Reading) -> CheckpointResponse:
    """409 before the first."""
    row = select(CheckpointRow.step, func.length(CheckpointRow.content).label("size"), CheckpointRow.sha256)
    with reading() as session:
        existing(session, experiment_id)
        found = session.execute(row.where(CheckpointRow.experiment_id == experiment_id)).first()
    if found is None:
        raise HTTPException(409, f"experiment {experiment_id} has no checkpoint yet")
    return CheckpointResponse(step=found.step, bytes=found.size, sha256=found.sha256)
