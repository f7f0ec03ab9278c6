"""An experiment's records: metrics and layer statistics, as JSON or CSV. Its histograms are in histograms.py."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import HTTPException, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.orm import Session

from normlab.spec.quantities import QUANTITIES
from normlab.spec.record_responses import LayersResponse, MetricsResponse
from normlab.store import records
from normlab.store.experiments import get_experiment
from normlab.store.models import Experiment
from normlab.store.records import METRICS, LayerStatistics
from service.http.authorization import guarded_router, needs
from service.http.query_parameters import parameter_error
from service.routes.captured import refuse_absent
from service.routes.responses import ExperimentId, Reading, WantsCSV, rows_response

router = guarded_router("/experiments/{experiment_id}", tag="records", statuses=(404,))

MAX_ROWS = 50_000  # of one response, which then has about 12 MB

OR_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
Layer = Annotated[
    int | None,
    Query(
        ge=0, le=2**31 - 1, description="Only the layer of this number: its convolution's or linear layer's, from 1."
    ),
]
Quantity = Annotated[str, Field(json_schema_extra={"enum": list(QUANTITIES)})]
Epoch = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only this epoch, from 0.")]


@router.get(
    "/metrics", summary="Loss, accuracy and time of every epoch", response_model=MetricsResponse, responses=OR_CSV
)
@needs("read")
def metrics(experiment_id: ExperimentId, reading: Reading, as_csv: WantsCSV) -> Response:
    """Return one row per recorded epoch."""
    with reading() as session:
        get_experiment(session, experiment_id)
        epochs = records.metrics(session, experiment_id)
    rows = [{name: getattr(epoch, name) for name in METRICS} for epoch in epochs]
    return rows_response("metrics", rows, METRICS, as_csv=as_csv)


@router.get("/layers", summary="Statistics of every captured quantity", response_model=LayersResponse, responses=OR_CSV)
@needs("read")
def layers(
    experiment_id: ExperimentId,
    reading: Reading,
    as_csv: WantsCSV,
    quantity: Annotated[Quantity | None, Query(description="Only this quantity.")] = None,
    layer: Layer = None,
    epoch: Epoch = None,
) -> Response:
    """Return one row per captured step, layer and quantity. The statistics are exact, over the finite values."""
    chosen: dict[str, Any] = {
        "quantities": () if quantity is None else (known_quantity(quantity),),
        "layer": layer,
        "epoch": epoch,
    }
    with reading() as session:
        check_size(
            session, [get_experiment(session, experiment_id)], chosen, unit="rows", per_histogram=1, limit=MAX_ROWS
        )
        rows = records.layer_statistics(session, experiment_id, **chosen)
    return rows_response("layers", rows, LayerStatistics.__annotations__, as_csv=as_csv)


def known_quantity(quantity: str) -> str:
    """Return the quantity. Raises RequestValidationError if there is none of this name."""
    if quantity not in QUANTITIES:
        message = f"expected {', '.join(QUANTITIES)}"
        raise RequestValidationError([parameter_error("quantity", message, quantity) | {"type": "literal_error"}])
    return quantity


def check_size(
    session: Session,
    experiments: Sequence[Experiment],
    chosen: dict[str, Any],
    *,
    unit: str,
    per_histogram: int,
    limit: int,
) -> None:
    """Raise HTTPException: 422 for a response that is too large, 404 if an experiment can have nothing in it."""
    size = 0
    for experiment in experiments:
        count = records.count_histograms(session, [experiment.id], **chosen)
        if count == 0:
            refuse_absent(session, experiment, **chosen)
        size += count * per_histogram
    if size > limit:
        raise HTTPException(
            422,
            f"expected a response of at most {limit:,} {unit}; this one has about {size:,}: name a layer, an epoch",
        )
