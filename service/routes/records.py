"""An experiment's records: metrics, layer statistics and histograms, as JSON or CSV."""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.orm import Session

from normlab.spec.quantities import QUANTITIES
from normlab.spec.record_responses import HistogramsResponse, LayersResponse, MetricsResponse
from normlab.store import records
from normlab.store.experiments import get_experiment
from normlab.store.histograms import Histogram
from normlab.store.records import METRICS
from service.authorization import guarded_router, needs
from service.query_parameters import parameter_error
from service.routes.captured import refuse_absent
from service.routes.responses import ExperimentId, Reading, WantsCSV, rows_response

router = guarded_router("/experiments/{experiment_id}", tag="records", statuses=(404,))

MAX_ROWS, MAX_BINS = 50_000, 200_000  # of one response, which then has about 12 MB
NATIVE_BINS = 200  # about as many as a stored histogram has

CAPTURED = ("epoch", "step", "layer", "quantity")
STATISTICS = {  # names in the response, and a histogram's attributes
    "count": "count", "zeros": "zeros", "nans": "nans", "positive_infinities": "positive_infinities",
    "negative_infinities": "negative_infinities", "min": "minimum", "max": "maximum", "mean": "mean", "std": "std",
    "l2_norm": "l2_norm",
}  # fmt: skip

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
        "quantities": () if quantity is None else (_known(quantity),),
        "layer": layer,
        "epoch": epoch,
    }
    with reading() as session:
        _check_size(session, experiment_id, chosen, unit="rows", per_histogram=1, limit=MAX_ROWS)
        rows = [
            {"epoch": capture.epoch, "step": capture.step, "layer": number, "quantity": name}
            | {column: getattr(histogram, attribute) for column, attribute in STATISTICS.items()}
            for capture in records.captures(session, experiment_id, **chosen)
            for (number, name), histogram in capture.histograms.items()
        ]
    return rows_response("layers", rows, (*CAPTURED, *STATISTICS), as_csv=as_csv)


@router.get(
    "/histograms", summary="Histograms of a captured quantity", response_model=HistogramsResponse, responses=OR_CSV
)
@needs("read")
def histograms(
    request: Request,
    experiment_id: ExperimentId,
    reading: Reading,
    as_csv: WantsCSV,
    quantity: Annotated[Quantity, Query(description="One of the captured quantities.")],
    layer: Layer = None,
    epoch: Epoch = None,
    binning: Annotated[
        Literal["linear", "native"],
        Query(
            description="`linear`: equal bins from the exact minimum to the exact maximum, which count zeros too. "
            "`native`: the bins as stored, which do not count zeros."
        ),
    ] = "linear",
    bins: Annotated[int, Query(ge=1, le=1000, description="Number of linear bins.")] = 50,
) -> Response:
    """Return one histogram per captured step and layer."""
    if binning == "native" and "bins" in request.query_params:
        reason = "native bins are as they are stored; `bins` is the number of linear ones"
        raise RequestValidationError([parameter_error("bins", reason, bins)])
    chosen: dict[str, Any] = {"quantities": [_known(quantity)], "layer": layer, "epoch": epoch}
    per_histogram = bins if binning == "linear" else NATIVE_BINS
    with reading() as session:
        _check_size(session, experiment_id, chosen, unit="bins", per_histogram=per_histogram, limit=MAX_BINS)
        rows: list[dict[str, Any]] = [
            {"epoch": capture.epoch, "step": capture.step, "layer": number, "quantity": name}
            | {"zeros": histogram.zeros, "nonfinite": histogram.nonfinite, "bins": _bins(histogram, binning, bins)}
            for capture in records.captures(session, experiment_id, **chosen)
            for (number, name), histogram in capture.histograms.items()
        ]
    if as_csv:
        rows = [
            {name: row[name] for name in CAPTURED} | {"low": low, "high": high, "count": count}
            for row in rows
            for low, high, count in row["bins"]
        ]
    return rows_response("histograms", rows, (*CAPTURED, "low", "high", "count"), as_csv=as_csv)


def _known(quantity: str) -> str:
    """Return the quantity. Raises HTTPException 422 if there is none of this name."""
    if quantity not in QUANTITIES:
        raise HTTPException(422, f"quantity: {quantity[:50]!r} is none of {', '.join(QUANTITIES)}")
    return quantity


def _check_size(
    session: Session, experiment_id: int, chosen: dict[str, Any], *, unit: str, per_histogram: int, limit: int
) -> None:
    """Raises NoSuchExperiment, or HTTPException: 422 for a response that is too large, 404 if nothing can be in it."""
    experiment = get_experiment(session, experiment_id)
    size = records.count_histograms(session, experiment_id, **chosen) * per_histogram
    if size == 0:
        refuse_absent(session, experiment, **chosen)
    if size > limit:
        raise HTTPException(
            422,
            f"expected a response of at most {limit:,} {unit}; this one has about {size:,}: name a layer, an epoch",
        )


def _bins(histogram: Histogram, binning: str, bins: int) -> list[list[float]]:
    if histogram.minimum is None or histogram.maximum is None:
        return []
    if binning == "native":
        low, high, counts = histogram.bins()
        return [[float(a), float(b), int(n)] for a, b, n in zip(low, high, counts, strict=True)]
    edges = np.histogram_bin_edges([histogram.minimum, histogram.maximum], bins)
    counts_shared = histogram.rebin(edges)
    return [[float(a), float(b), float(n)] for a, b, n in zip(edges[:-1], edges[1:], counts_shared, strict=True)]
