"""What several routes answer with: an experiment as JSON, rows as JSON or CSV, how to reach the database."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session, sessionmaker

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape
from normlab.store.errors import NoSuchExperiment
from normlab.store.models import Experiment

LINKED = ("attempts", "checkpoint", "metrics", "layers", "histograms", "plots")

ExperimentId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The experiment's number.")]


def _reading(request: Request) -> sessionmaker[Session]:
    made: sessionmaker[Session] = request.app.state.database.reading
    return made


def _writing(request: Request) -> sessionmaker[Session]:
    made: sessionmaker[Session] = request.app.state.database.writing
    return made


def _wants_csv(
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    format: Annotated[Literal["json", "csv"], Query(description="Or by the Accept header.")] = "json",
) -> bool:
    return format == "csv" or "text/csv" in accept


WantsCSV = Annotated[bool, Depends(_wants_csv)]
# Not sessions: one that outlives its route is closed by another thread, and all threads may be waiting for connections.
Reading = Annotated[sessionmaker[Session], Depends(_reading)]
Writing = Annotated[sessionmaker[Session], Depends(_writing)]


class ProgressResponse(BaseModel):
    """How far an experiment is. epoch: how many are recorded. steps: in all; null until a worker has counted them."""

    epoch: int
    epochs: int
    step: int
    steps: int | None


class ExperimentResponse(BaseModel):
    """An experiment: identity, state, what it is, what it ran on, and where its records are."""

    id: int
    status: str = Field(description="queued, running, paused, succeeded, failed or cancelled")
    progress: ProgressResponse
    priority: int = Field(description="Of those that wait, higher ones are claimed first.")
    requested_action: str | None = Field(
        description="What its worker was asked to do and has not done yet: cancel or pause."
    )
    attempt: int = Field(description="How often a worker has claimed it.")
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    worker: str | None
    spec: ExperimentSpec
    network: tuple[LayerShape, ...] = Field(description="Every layer with its shapes, C H W.")
    parameters: int
    provenance: dict[str, Any] | None
    gradient_check: list[dict[str, Any]] | None = Field(
        description="Per layer the largest relative error of its gradients beside autograd's, before training."
    )
    links: dict[str, str]


def experiment_response(experiment: Experiment, spec: ExperimentSpec | None = None) -> ExperimentResponse:
    """An experiment as it is answered. spec: its own, if that is at hand."""
    spec = spec or ExperimentSpec.stored(experiment.spec)
    network = spec.layer_shapes()
    here = f"/experiments/{experiment.id}"
    return ExperimentResponse(
        id=experiment.id,
        status=experiment.status,
        progress=ProgressResponse(
            epoch=experiment.epochs_done, epochs=spec.epochs, step=experiment.step, steps=experiment.steps_total
        ),
        priority=experiment.priority,
        requested_action=experiment.requested_action,
        attempt=experiment.attempt,
        error=experiment.error,
        created_at=moment(experiment.created_at),
        started_at=None if experiment.started_at is None else moment(experiment.started_at),
        ended_at=None if experiment.ended_at is None else moment(experiment.ended_at),
        worker=experiment.worker,
        spec=spec,
        network=network,
        parameters=sum(layer.parameters for layer in network),
        provenance=experiment.provenance,
        gradient_check=experiment.gradient_check,
        links={"self": here} | {name: f"{here}/{name}" for name in LINKED},
    )


def existing(session: Session, experiment_id: int) -> Experiment:
    """The experiment. Raises NoSuchExperiment."""
    experiment = session.get(Experiment, experiment_id)
    if experiment is None:
        raise NoSuchExperiment(experiment_id)
    return experiment


def rows(name: str, found: Sequence[Mapping[str, Any]], columns: Iterable[str], *, as_csv: bool) -> Response:
    """Rows as {name: […]}, or as CSV of these columns, with a header even where there is no row yet."""
    if not as_csv:
        return JSONResponse({name: found})
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return Response(out.getvalue(), media_type="text/csv")


def moment(seconds: float) -> datetime:
    """A time of the database's as it is answered, UTC."""
    return datetime.fromtimestamp(seconds, UTC)
