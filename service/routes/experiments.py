"""Experiments: post, list, read, change, delete, and the verbs cancel, pause, resume and retry."""

import hashlib
import json
from typing import Annotated, Literal

from fastapi import Body, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from normlab.spec.datasets import DatasetName
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.fields.labels import Tag
from normlab.spec.fields.scheduling import Priority
from normlab.spec.lifecycle import Status
from normlab.spec.responses import ExperimentPage, ExperimentResponse, sentences
from normlab.spec.size_estimate import MAX_STEPS, estimate
from normlab.spec.variants import Normalization
from normlab.store import queue
from normlab.store.enqueue import IdempotencyKey, Submission
from normlab.store.experiments import Filter, get_experiment, list_experiments
from service.authorization import guarded_router, needs
from service.problems import problems
from service.routes.examples import EXAMPLES
from service.routes.responses import ExperimentId, Reading, Writing, experiment_response, json_response
from service.settings import ServiceSettings

router = guarded_router("/experiments", tag="experiments")

_NAMES = "|".join(ExperimentResponse.model_fields)
Fields = Annotated[
    Annotated[str, Field(json_schema_extra={"pattern": f"^({_NAMES})(,({_NAMES}))*$"})] | None,
    Query(description="Only these fields of each experiment, separated by commas. Default: all."),
]
READ = problems(404)  # what a route that reads one experiment may return
CHANGE = problems(404, 409)  # what a route that changes one may return


class Changes(BaseModel):
    """What can be changed of a queued or paused experiment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    priority: Priority = Field(description="Queued experiments of a higher priority are claimed first.")


@router.post("", status_code=201, summary="Queue an experiment")
@needs("write")
async def post(
    request: Request,
    spec: Annotated[ExperimentSpec, Body(openapi_examples=EXAMPLES)],
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="A name for this request. A repeated request with the same key, body and API key creates no "
            "second experiment and returns the first one. A request with the same key and another body is refused.",
        ),
    ] = None,
) -> ExperimentResponse:
    """Validate the spec, fill in every default, and queue the experiment."""
    _check_size(spec, request.app.state.settings)
    # The digest is of the JSON as sent, not of the spec: a release in between may have changed what a spec means.
    digest = hashlib.sha256(json.dumps(await request.json(), sort_keys=True).encode()).hexdigest()
    key = None if idempotency_key is None else IdempotencyKey(idempotency_key, digest, request.state.api_key)
    experiment = await request.app.state.enqueue_batch.enqueue(Submission(spec, key))
    response.headers["location"] = f"/experiments/{experiment.id}"
    return experiment_response(experiment, spec)


@router.get("", summary="List experiments", response_model=ExperimentPage)
@needs("read")
def listing(
    request: Request,
    reading: Reading,
    status: Annotated[Status | None, Query(description=f"Only experiments in this state. {sentences(Status)}")] = None,
    normalization: Annotated[Normalization | None, Query(description="Only experiments of this variant.")] = None,
    dataset: Annotated[DatasetName | None, Query(description="Only experiments on this data set.")] = None,
    tag: Annotated[Tag | None, Query(description="Only experiments with this tag.")] = None,
    group: Annotated[Tag | None, Query(description="Only experiments of this group.")] = None,
    sort: Annotated[Literal["id", "-id"], Query(description="`id`: oldest first. `-id`: newest first.")] = "-id",
    limit: Annotated[int, Query(ge=1, le=200, description="Number of experiments on a page.")] = 50,
    cursor: Annotated[
        int | None,
        Query(ge=1, le=2**31 - 1, description="Number of the last experiment of the page before; `next` holds it."),
    ] = None,
    fields: Fields = None,
) -> Response:
    """Return one page, filtered and sorted, with the address of the next page."""
    names = _parse_fields(fields)
    chosen = Filter(status=status, normalization=normalization, dataset=dataset, tag=tag, group=group)
    with reading() as session:
        experiments, more = list_experiments(session, chosen, newest_first=sort == "-id", limit=limit, after=cursor)
    page = [experiment_response(each).model_dump(mode="json", include=names) for each in experiments]
    query = request.url.include_query_params(cursor=experiments[-1].id).query if more else ""
    return json_response({"experiments": page, "next": f"{request.url.path}?{query}" if more else None})


@router.get("/{experiment_id}", summary="Read an experiment", responses=READ)
@needs("read")
def read(experiment_id: ExperimentId, reading: Reading) -> ExperimentResponse:
    """Return its state, progress, spec, network with shapes, and provenance."""
    with reading() as session:
        return experiment_response(get_experiment(session, experiment_id))


@router.patch("/{experiment_id}", summary="Change the priority of an experiment", responses=CHANGE)
@needs("write")
def change(experiment_id: ExperimentId, changes: Changes, writing: Writing) -> ExperimentResponse:
    """Only of a queued or paused experiment. Returns 409 if it runs or has ended."""
    with writing.begin() as session:
        return experiment_response(queue.prioritize(session, experiment_id, changes.priority))


@router.delete("/{experiment_id}", status_code=204, summary="Delete an experiment and its records", responses=CHANGE)
@needs("write")
def delete(
    experiment_id: ExperimentId,
    writing: Writing,
    force: Annotated[bool, Query(description="Delete the experiment although it runs. Its worker stops.")] = False,
) -> None:
    """Returns 409 if the experiment runs and `force` is not set."""
    with writing.begin() as session:
        queue.remove(session, experiment_id, force=force)


@router.post("/{experiment_id}/cancel", summary="Cancel an experiment", responses=CHANGE)
@needs("write")
def cancel(experiment_id: ExperimentId, writing: Writing) -> ExperimentResponse:
    """A running one stops within seconds and keeps its records. Returns 409 if it has ended."""
    with writing.begin() as session:
        return experiment_response(queue.cancel(session, experiment_id))


@router.post("/{experiment_id}/pause", summary="Pause an experiment", responses=CHANGE)
@needs("write")
def pause(experiment_id: ExperimentId, writing: Writing) -> ExperimentResponse:
    """A running one stores a checkpoint and stops within seconds. Returns 409 if it has ended."""
    with writing.begin() as session:
        return experiment_response(queue.pause(session, experiment_id))


@router.post("/{experiment_id}/resume", summary="Requeue a paused experiment", responses=CHANGE)
@needs("write")
def resume(experiment_id: ExperimentId, writing: Writing) -> ExperimentResponse:
    """It resumes from its last checkpoint. Returns 409 if it has ended."""
    with writing.begin() as session:
        return experiment_response(queue.resume(session, experiment_id))


@router.post("/{experiment_id}/retry", summary="Requeue a failed or cancelled experiment", responses=CHANGE)
@needs("write")
def retry(
    experiment_id: ExperimentId,
    writing: Writing,
    from_start: Annotated[
        bool, Query(description="Delete its records and train from the start, not from its last checkpoint.")
    ] = False,
) -> ExperimentResponse:
    """Returns 409 if the experiment has not failed and was not cancelled."""
    with writing.begin() as session:
        return experiment_response(queue.retry(session, experiment_id, from_start=from_start))


def _check_size(spec: ExperimentSpec, settings: ServiceSettings) -> None:
    """Raises HTTPException 422 for an experiment that is larger than the settings allow."""
    size = estimate(spec)
    for subject, needed, limit in (
        ("network: bytes of a checkpoint", size.checkpoint_bytes, settings.max_checkpoint_bytes),
        ("network: bytes of activations for one batch", size.activation_bytes, settings.max_activation_bytes),
        ("epochs: training steps", size.steps, MAX_STEPS),
    ):
        if needed > limit:
            raise HTTPException(422, f"{subject}: expected at most {limit:,}; got about {needed:,}")


def _parse_fields(fields: str | None) -> set[str] | None:
    """Return the field names of a comma-separated list. Raises HTTPException 422."""
    if fields is None:
        return None
    names = set(fields.split(","))
    if unknown := sorted(names - set(ExperimentResponse.model_fields)):
        raise HTTPException(422, f"fields: {unknown[0]!r} is none of {', '.join(ExperimentResponse.model_fields)}")
    return names
