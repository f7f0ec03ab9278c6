"""Experiments: post, list, read, and the verbs that change what becomes of one."""

import base64
import hashlib
import json
from typing import Annotated, Any, Literal

from fastapi import Body, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from normlab.spec.datasets import DatasetName
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.fields.labels import Tag
from normlab.spec.fields.scheduling import Priority
from normlab.spec.size_estimate import MAX_STEPS, estimate
from normlab.spec.variants import Normalization
from normlab.store import queue
from normlab.store.enqueue import IdempotencyKey, Submission
from normlab.store.models import Experiment, TagRow
from service.authorization import needs, routes
from service.problems import problems
from service.routes.responses import ExperimentId, ExperimentResponse, Reading, Writing, existing, experiment_response
from service.settings import ServiceSettings

router = routes("/experiments", tag="experiments")

EXAMPLES: dict[str, Any] = {
    "baseline": {"summary": "The article's baseline on STL-10", "value": {}},
    "digits": {
        "summary": "Batch normalization on digits, a few seconds",
        "value": {"dataset": "digits", "normalization": "batch", "epochs": 5},
    },
    "original": {
        "summary": "Instance normalization as the 2018 notebook ran it, but with shuffling",
        "value": {
            "dataset": "digits",
            "normalization": "instance",
            "protocol": "original",
            "shuffle": True,
            "epochs": 5,
        },
    },
    "network": {
        "summary": "A network of two convolutions",
        "value": {
            "dataset": "digits",
            "normalization": "layer",
            "epochs": 5,
            "network": [
                {"kind": "convolution", "channels": 32, "kernel_size": 5, "stride": 2, "padding": 2},
                {"kind": "relu"},
                {"kind": "normalization"},
                {"kind": "convolution", "channels": 10},
                {"kind": "global_average_pool"},
            ],
        },
    },
}

_NAMES = "|".join(ExperimentResponse.model_fields)
Fields = Annotated[
    Annotated[str, Field(json_schema_extra={"pattern": f"^({_NAMES})(,({_NAMES}))*$"})] | None,
    Query(description="Only these fields of each, comma-separated."),
]
ONE = problems(404)  # what a route of one experiment may answer,
VERB = problems(404, 409)  # and one that changes it


class ListResponse(BaseModel):
    """A page of experiments. next: where the next page is, null on the last."""

    experiments: list[dict[str, Any]]
    next: str | None


class Changes(BaseModel):
    """What may be changed of an experiment that waits."""

    model_config = ConfigDict(extra="forbid", strict=True)

    priority: Priority


@router.post("", status_code=201, summary="Queue an experiment")
@needs("write")
async def post(
    request: Request,
    spec: Annotated[ExperimentSpec, Body(openapi_examples=EXAMPLES)],
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> ExperimentResponse:
    """Validate the spec, fill in every default, queue it. The same Idempotency-Key and body: the same experiment."""
    _check_size(spec, request.app.state.settings)
    # Of what was sent, not of what it means: that may change with a release between a post and its repetition.
    digest = hashlib.sha256(json.dumps(await request.json(), sort_keys=True).encode()).hexdigest()
    key = None if idempotency_key is None else IdempotencyKey(idempotency_key, digest, request.state.api_key)
    experiment = await request.app.state.enqueue_batch.enqueue(Submission(spec, key))
    response.headers["location"] = f"/experiments/{experiment.id}"
    return experiment_response(experiment, spec)


@router.get("", summary="List experiments")
@needs("read")
def listing(
    request: Request,
    reading: Reading,
    status: Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"] | None = None,
    normalization: Normalization | None = None,
    dataset: DatasetName | None = None,
    tag: Tag | None = None,
    group: Tag | None = None,
    sort: Annotated[Literal["id", "-id"], Query(description="Oldest or newest first.")] = "-id",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="From a page's `next`.")] = None,
    fields: Fields = None,
) -> ListResponse:
    """Filtered, sorted, a page at a time."""
    chosen = select(Experiment)
    for column, wanted in (
        (Experiment.status, status),
        (Experiment.normalization, normalization),
        (Experiment.dataset, dataset),
        (Experiment.queue_group, group),
    ):
        if wanted is not None:
            chosen = chosen.where(column == wanted)
    if tag is not None:
        chosen = chosen.where(Experiment.id.in_(select(TagRow.experiment_id).where(TagRow.tag == tag)))
    if cursor is not None:
        after = _read_cursor(cursor)
        chosen = chosen.where(Experiment.id > after if sort == "id" else Experiment.id < after)
    chosen = chosen.order_by(Experiment.id if sort == "id" else Experiment.id.desc()).limit(limit + 1)
    names = _read_fields(fields)
    with reading() as session:
        found = session.scalars(chosen).all()
    page = [experiment_response(experiment).model_dump(mode="json", include=names) for experiment in found[:limit]]
    following = None
    if len(found) > limit:
        following = str(request.url.include_query_params(cursor=_write_cursor(found[limit - 1].id)))
    return ListResponse(experiments=page, next=following)


@router.get("/{experiment_id}", summary="Read an experiment", responses=ONE)
@needs("read")
def read(experiment_id: ExperimentId, reading: Reading) -> ExperimentResponse:
    """State, progress, resolved spec, network with shapes, provenance."""
    with reading() as session:
        return experiment_response(existing(session, experiment_id))


@router.patch("/{experiment_id}", summary="Change a waiting experiment's priority", responses=VERB)
@needs("write")
def change(experiment_id: ExperimentId, changes: Changes, writing: Writing) -> ExperimentResponse:
    """Higher ones are claimed first; a running or ended one answers 409."""
    with writing.begin() as session:
        return experiment_response(queue.prioritize(session, experiment_id, changes.priority))


@router.delete("/{experiment_id}", status_code=204, summary="Delete an experiment and its records", responses=VERB)
@needs("write")
def delete(
    experiment_id: ExperimentId,
    writing: Writing,
    force: Annotated[bool, Query(description="Also if it is running: it is stopped first.")] = False,
) -> None:
    """A running one is refused with 409, unless forced."""
    with writing.begin() as session:
        queue.remove(session, experiment_id, force=force)


@router.post("/{experiment_id}/cancel", summary="Cancel an experiment", responses=VERB)
@needs("write")
def cancel(experiment_id: ExperimentId, writing: Writing) -> ExperimentResponse:
    """A running one stops within seconds and keeps its records; an ended one answers 409."""
    with writing.begin() as session:
        return experiment_response(queue.cancel(session, experiment_id))


@router.post("/{experiment_id}/pause", summary="Set an experiment aside", responses=VERB)
@needs("write")
def pause(experiment_id: ExperimentId, writing: Writing) -> ExperimentResponse:
    """A running one stores a checkpoint and stops within seconds; an ended one answers 409."""
    with writing.begin() as session:
        return experiment_response(queue.pause(session, experiment_id))


@router.post("/{experiment_id}/resume", summary="Queue a paused experiment again", responses=VERB)
@needs("write")
def resume(experiment_id: ExperimentId, writing: Writing) -> ExperimentResponse:
    """It goes on from its last checkpoint; an ended one answers 409."""
    with writing.begin() as session:
        return experiment_response(queue.resume(session, experiment_id))


@router.post("/{experiment_id}/retry", summary="Queue a failed or cancelled experiment again", responses=VERB)
@needs("write")
def retry(
    experiment_id: ExperimentId,
    writing: Writing,
    from_start: Annotated[bool, Query(description="Drop its records and begin again.")] = False,
) -> ExperimentResponse:
    """It goes on from its last checkpoint, or from the start."""
    with writing.begin() as session:
        return experiment_response(queue.retry(session, experiment_id, from_start=from_start))


def _check_size(spec: ExperimentSpec, settings: ServiceSettings) -> None:
    """Raises HTTPException 422 for an experiment larger than the service takes."""
    size = estimate(spec)
    for what, needed, most in (
        ("network: bytes of a checkpoint", size.checkpoint_bytes, settings.max_checkpoint_bytes),
        ("network: bytes of activations for one batch", size.activation_bytes, settings.max_activation_bytes),
        ("epochs: training steps", size.steps, MAX_STEPS),
    ):
        if needed > most:
            raise HTTPException(422, f"{what}: expected at most {most:,}; got some {needed:,}")


def _read_fields(fields: str | None) -> set[str] | None:
    if fields is None:
        return None
    names = set(fields.split(","))
    if unknown := sorted(names - set(ExperimentResponse.model_fields)):
        raise HTTPException(422, f"fields: {unknown[0]!r} is none of {', '.join(ExperimentResponse.model_fields)}")
    return names


def _write_cursor(experiment_id: int) -> str:
    return base64.urlsafe_b64encode(str(experiment_id).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        number = int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii"))
    except ValueError:
        number = -1
    if not 0 < number < 2**31:
        raise HTTPException(422, f"cursor: expected one from a page's `next`, got {cursor[:50]!r}")
    return number
