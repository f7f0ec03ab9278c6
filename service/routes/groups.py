"""Groups of experiments: pause and resume all experiments of a group at once."""

from typing import Annotated

from fastapi import Path

from normlab.spec.fields.labels import Tag
from normlab.spec.responses import GroupResponse
from normlab.store import queue
from service.authorization import guarded_router, needs
from service.routes.responses import Writing

router = guarded_router("/groups", tag="groups", statuses=(404,))

Group = Annotated[Tag, Path(description="Name of the group, as in the experiments' specs.")]


@router.post("/{group:path}/pause", summary="Pause the queued and running experiments of a group")
@needs("write")
def pause(group: Group, writing: Writing) -> GroupResponse:
    """Running ones store a checkpoint and stop within seconds. Experiments posted later are not paused."""
    with writing.begin() as session:
        return GroupResponse(experiments=queue.pause_group(session, group))


@router.post("/{group:path}/resume", summary="Requeue the paused experiments of a group")
@needs("write")
def resume(group: Group, writing: Writing) -> GroupResponse:
    """They resume from their last checkpoints."""
    with writing.begin() as session:
        return GroupResponse(experiments=queue.resume_group(session, group))
