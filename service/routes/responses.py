"""What several routes share: parameters, database sessions, an experiment as its response, rows as JSON or CSV."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic_core import to_json
from sqlalchemy.orm import Session, sessionmaker

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import total_parameters
from normlab.spec.lifecycle import Status
from normlab.spec.provenance import ProvenanceResponse
from normlab.spec.responses import ExperimentResponse
from normlab.store.experiments import spec_of
from normlab.store.models import Experiment

LINKED = ("attempts", "checkpoint", "gradient-check", "metrics", "layers", "histograms", "plots")

ExperimentId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The experiment's number.")]


def _reading(request: Request) -> sessionmaker[Session]:
    sessions: sessionmaker[Session] = request.app.state.database.reading
    return sessions


def _writing(request: Request) -> sessionmaker[Session]:
    sessions: sessionmaker[Session] = request.app.state.database.writing
    return sessions


def _wants_csv(
    request: Request,
    format: Annotated[
        Literal["json", "csv"] | None,
        Query(description="Format of the response. Default: what the header Accept prefers, and JSON without one."),
    ] = None,
) -> bool:
    return format == "csv" if format else request.state.media_type == "text/csv"


WantsCSV = Annotated[bool, Depends(_wants_csv)]
# These are factories, not sessions. FastAPI would close a session in another thread after the route has returned, and
# all threads may be waiting for a connection then.
Reading = Annotated[sessionmaker[Session], Depends(_reading)]
Writing = Annotated[sessionmaker[Session], Depends(_writing)]


def experiment_response(experiment: Experiment, spec: ExperimentSpec | None = None) -> ExperimentResponse:
    """Return an experiment's response model. spec: the experiment's, if the caller has it already."""
    spec = spec or spec_of(experiment)
    network = spec.layer_shapes()
    address = f"/experiments/{experiment.id}"
    return ExperimentResponse(
        **summary_values(experiment, sorted(set(spec.tags))),
        requested_action=experiment.requested_action,
        attempt=experiment.attempt,
        worker=experiment.worker,
        spec=spec,
        network=network,
        parameters=total_parameters(network),
        provenance=None if experiment.provenance is None else ProvenanceResponse.model_validate(experiment.provenance),
        gradient_check=experiment.gradient_check,
        links={"self": address} | {name: f"{address}/{name}" for name in LINKED},
    )


def summary_values(row: Any, tags: Sequence[str]) -> dict[str, Any]:
    """Return the values of an ExperimentSummary. row: an experiment, or the columns of one that a list has read."""
    return {
        "id": row.id,
        "name": row.name,
        "status": row.status,
        "normalization": row.normalization,
        "dataset": row.dataset,
        "seed": row.seed,
        "group": row.queue_group or None,
        "tags": tags,
        "priority": row.priority,
        "created_at": to_datetime(row.created_at),
        "started_at": None if row.started_at is None else to_datetime(row.started_at),
        "ended_at": None if row.ended_at is None else to_datetime(row.ended_at),
        "progress": _progress(row),
        "last_train_loss": row.last_train_loss,
        "last_test_loss": row.last_test_loss,
        "last_test_accuracy": row.last_test_accuracy,
        "best_test_accuracy": row.best_test_accuracy,
        "error": row.error,
        "warnings": row.warnings,
    }  # fmt: skip


def _progress(row: Any) -> dict[str, Any]:
    """Return the progress. What the last heartbeat said of the worker counts only while the experiment runs."""
    runs = row.status == Status.RUNNING
    return {
        "phase": row.phase if runs else None,
        "images_per_second": row.images_per_second if runs else None,
        "seconds_left": row.seconds_left if runs else None,
        "epochs_done": row.epochs_done,
        "epochs": row.epochs_total,
        "step": row.step,
        "steps": row.steps_total,
    }


def json_response(body: Mapping[str, Any]) -> Response:
    """Return plain values as JSON, for responses of many rows.

    A route that returns a model has each value validated. These rows are correct already, and there are thousands.
    """
    return Response(to_json(body, inf_nan_mode="null"), media_type="application/json")


def rows_response(name: str, rows: Sequence[Mapping[str, Any]], columns: Iterable[str], *, as_csv: bool) -> Response:
    """Return rows as {name: […]}, or as CSV of these columns. The CSV has its header even without a row."""
    if not as_csv:
        return json_response({name: rows})
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return Response(out.getvalue(), media_type="text/csv")


def next_page(request: Request, cursor: str) -> str:
    """Return the path and the query of the page that begins after this cursor."""
    return f"{request.url.path}?{request.url.include_query_params(cursor=cursor).query}"


def to_datetime(seconds: float) -> datetime:
    """Return a time of the database as UTC."""
    return datetime.fromtimestamp(seconds, UTC)
