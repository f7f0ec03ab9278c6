"""Experiments: post, read, change, delete, and the verbs cancel, pause, resume and retry."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import Body, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.fields.labels import Name, Tags
from normlab.spec.fields.scheduling import Priority
from normlab.spec.integers import IntegersAsInJSON
from normlab.spec.responses import ExperimentResponse
from normlab.spec.size_estimate import MAX_STEPS, estimate
from normlab.store import labels, queue
from normlab.store.enqueue import IdempotencyKey, Submission, is_known
from normlab.store.experiments import get_experiment
from service.check_folder import check_folder
from service.http.authorization import guarded_router, needs
from service.http.problems import problems
from service.http.validation_messages import own_error
from service.routes.examples import EXAMPLES
from service.routes.responses import ExperimentId, Reading, Writing, experiment_response
from service.settings import ServiceSettings

router = guarded_router("/experiments", tag="experiments")

READ = problems(404)  # what a route that reads one experiment may return
CHANGE = problems(404, 409)  # what a route that changes one may return
CREATED: dict[int | str, dict[str, Any]] = {
    201: {
        "headers": {
            "Location": {"description": "Path of the experiment.", "required": True, "schema": {"type": "string"}}
        }
    }
}
BODY = problems(408, 413, 415)  # what a route with a body may return


def _as_changes(schema: dict[str, Any]) -> None:
    """A field that is left out is not changed, so its default is not part of the document, but one must be there."""
    schema["minProperties"] = 1
    for field in schema["properties"].values():
        field.pop("default")


class Changes(IntegersAsInJSON):
    """What is to be changed of an experiment. A field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_as_changes)

    name: Name = Field(default=None, description="Its new name; null removes the name.")
    tags: Tags = Field(default=(), description="Its new tags, which replace all that it has.")
    priority: Priority = Field(
        default=0,
        description="Queued experiments of a higher priority are claimed first. It can be changed only while the "
        "experiment is queued or paused.",
    )

    @model_validator(mode="after")
    def _check_any(self) -> "Changes":
        if not self.model_fields_set:
            raise ValueError(f"expected at least one of {', '.join(Changes.model_fields)}")
        return self


@router.post("", status_code=201, summary="Queue an experiment", responses=CREATED | BODY)
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
    # The digest is of the JSON as sent, not of the spec: a release in between may have changed what a spec means.
    digest = hashlib.sha256(json.dumps(await request.json(), sort_keys=True).encode()).hexdigest()
    key = None if idempotency_key is None else IdempotencyKey(idempotency_key, digest, request.state.api_key)
    checked = spec if spec.folder is None else await run_in_threadpool(_check_folder, request, spec, key)
    _check_size(checked, request.app.state.settings)
    experiment = await request.app.state.enqueue_batch.enqueue(Submission(spec, key))
    response.headers["location"] = f"/experiments/{experiment.id}"
    return experiment_response(experiment, spec)


@router.get("/{experiment_id}", summary="Read an experiment", responses=READ)
@needs("read")
def read(experiment_id: ExperimentId, reading: Reading) -> ExperimentResponse:
    """Return its state, progress, spec, network with shapes, and provenance."""
    with reading() as session:
        return experiment_response(get_experiment(session, experiment_id))


@router.patch("/{experiment_id}", summary="Change the name, tags or priority of an experiment", responses=CHANGE | BODY)
@needs("write")
def change(experiment_id: ExperimentId, changes: Changes, writing: Writing) -> ExperimentResponse:
    """Name and tags can be changed in any state. Returns 409 for the priority of one that runs or has ended."""
    with writing.begin() as session:
        if "priority" in changes.model_fields_set:
            experiment = queue.prioritize(session, experiment_id, changes.priority)
        if "name" in changes.model_fields_set:
            experiment = labels.rename(session, experiment_id, changes.name)
        if "tags" in changes.model_fields_set:
            experiment = labels.retag(session, experiment_id, changes.tags)
        return experiment_response(experiment)


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


def _check_folder(request: Request, spec: ExperimentSpec, key: IdempotencyKey | None) -> ExperimentSpec:
    """As check_folder, but a repeated request is not checked again, because its folder may have changed since."""
    if key is not None:
        with request.app.state.database.reading() as session:
            if is_known(session, key):
                return spec
    return check_folder(spec, request.app.state.settings)


def _check_size(spec: ExperimentSpec, settings: ServiceSettings) -> None:
    """Raises RequestValidationError for an experiment that is larger than the settings allow."""
    size = estimate(spec)
    errors = [
        own_error(field, f"{subject}: expected at most {limit:,}; got about {needed:,}{setting}", needed)
        for field, subject, needed, limit, setting in (
            ("network", "bytes of a checkpoint", size.checkpoint_bytes, settings.max_checkpoint_bytes,
             "; NORMLAB_MAX_CHECKPOINT_BYTES sets the limit"),
            ("network", "bytes of activations for one batch", size.activation_bytes, settings.max_activation_bytes,
             "; NORMLAB_MAX_ACTIVATION_BYTES sets the limit"),
            ("epochs", "training steps", size.steps, MAX_STEPS, ""),
        )
        if needed > limit
    ]  # fmt: skip
    if errors:
        raise RequestValidationError(errors)
