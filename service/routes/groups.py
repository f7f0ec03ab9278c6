"""Groups of experiments: set aside and queued again as one."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel

from normlab.spec.fields.labels import Tag
from normlab.store import queue
from service.authorization import needs, routes
from service.routes.responses import Writing

router = routes("/groups", tag="groups", may_answer=(404,))

Group = Annotated[Tag, Path(description="As the experiments' specs name it.")]


class GroupResponse(BaseModel):
    """Which experiments it was done to."""

    experiments: Sequence[int]


@router.post("/{group:path}/pause", summary="Set aside all of a group that wait or run")
@needs("write")
def pause(group: Group, writing: Writing) -> GroupResponse:
    """Running ones store a checkpoint and stop within seconds. What is posted later is not paused."""
    with writing.begin() as session:
        return GroupResponse(experiments=queue.pause_group(session, group))


@router.post("/{group:path}/resume", summary="Queue all of a group that are paused")
@needs("write")
def resume(group: Group, writing: Writing) -> GroupResponse:
    """They go on from their last checkpoints."""
    with writing.begin() as session:
        return GroupResponse(experiments=queue.resume_group(session, group))
