"""Groups of experiments: list them, and pause and resume all experiments of a group at once."""

from typing import Annotated

from fastapi import Path, Query, Request

from normlab.spec.fields.labels import Tag, Text
from normlab.spec.responses import GroupPage, GroupResponse, GroupSummary
from normlab.store import queue
from normlab.store.groups import list_groups
from service.http.authorization import guarded_router, needs
from service.http.problems import problems
from service.routes.responses import Reading, Writing, next_page

router = guarded_router("/groups", tag="groups")

Group = Annotated[Tag, Path(description="Name of the group, as in the experiments' specs.")]
UNKNOWN = problems(404)  # what a route of one group may return


@router.get("", summary="List groups with the number of their experiments in each state")
@needs("read")
def listing(
    request: Request,
    reading: Reading,
    limit: Annotated[int, Query(ge=1, le=1000, description="Number of groups on a page.")] = 100,
    cursor: Annotated[
        Text | None, Query(description="Name of the last group of the page before; `next` holds it.")
    ] = None,
) -> GroupPage:
    """Return one page, sorted by name."""
    with reading() as session:
        groups, more = list_groups(session, limit=limit, after=cursor)
    rows = [
        GroupSummary(group=group.name or None, experiments=sum(group.statuses.values()), statuses=group.statuses)
        for group in groups
    ]
    return GroupPage(groups=rows, next=next_page(request, groups[-1].name) if more else None)


@router.post("/{group:path}/pause", summary="Pause the queued and running experiments of a group", responses=UNKNOWN)
@needs("write")
def pause(group: Group, writing: Writing) -> GroupResponse:
    """Running ones store a checkpoint and stop within seconds. Experiments posted later are not paused."""
    with writing.begin() as session:
        return GroupResponse(experiments=queue.pause_group(session, group))


@router.post("/{group:path}/resume", summary="Requeue the paused experiments of a group", responses=UNKNOWN)
@needs("write")
def resume(group: Group, writing: Writing) -> GroupResponse:
    """They resume from their last checkpoints."""
    with writing.begin() as session:
        return GroupResponse(experiments=queue.resume_group(session, group))
