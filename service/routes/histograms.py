"""The histograms of a captured quantity, of one experiment or of several with common edges, as JSON or CSV."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from normlab.spec.record_responses import HistogramsResponse, SeveralHistogramsResponse
from normlab.store import records
from normlab.store.experiments import get_experiment, get_experiments
from service.http.authorization import guarded_router, needs
from service.http.query_parameters import parameter_error
from service.routes.binning import Linear, linear_bins, native_bins
from service.routes.experiment_ids import ExperimentIds, parse_ids
from service.routes.records import OR_CSV, Epoch, Layer, Quantity, check_size, known_quantity
from service.routes.responses import ExperimentId, Reading, WantsCSV, rows_response

router = guarded_router(tag="records", statuses=(404,))

MAX_BINS = 200_000  # of one response, which then has about 12 MB
NATIVE_BINS = 1_000  # about as many as a stored histogram has

CAPTURED = ("epoch", "step", "layer", "quantity")
OF_A_HISTOGRAM = ("zeros", "nonfinite", "resolution")  # native bins count neither zeros nor non-finite values
OF_A_BIN = ("low", "high", "count")

QuantityOfAll = Annotated[Quantity, Query(description="One of the captured quantities.")]
Bins = Annotated[int, Query(ge=1, le=1000, description="Number of linear bins.")]
Low = Annotated[
    float | None,
    Query(
        allow_inf_nan=False,
        description="Low edge of the first linear bin. Default: the exact minimum. Values below it are counted in "
        "`below`.",
    ),
]
High = Annotated[
    float | None,
    Query(
        allow_inf_nan=False,
        description="High edge of the last linear bin. Default: the exact maximum. Values above it are counted in "
        "`above`.",
    ),
]


@router.get(
    "/experiments/{experiment_id}/histograms",
    summary="Histograms of a captured quantity",
    response_model=HistogramsResponse,
    responses=OR_CSV,
)
@needs("read")
def histograms(
    request: Request,
    experiment_id: ExperimentId,
    reading: Reading,
    as_csv: WantsCSV,
    quantity: QuantityOfAll,
    layer: Layer = None,
    epoch: Epoch = None,
    binning: Annotated[
        Literal["linear", "native"],
        Query(
            description="`linear`: equal bins from `low` to `high`, which count zeros too. `native`: the bins as "
            "stored, which do not count zeros."
        ),
    ] = "linear",
    bins: Bins = 50,
    low: Low = None,
    high: High = None,
) -> Response:
    """Return one histogram per captured step and layer."""
    linear = _linear(bins, low, high)
    if binning == "native":
        _refuse_linear(request)
    chosen: dict[str, Any] = {"quantities": [known_quantity(quantity)], "layer": layer, "epoch": epoch}
    per_histogram = bins if binning == "linear" else NATIVE_BINS
    with reading() as session:
        check_size(
            session,
            [get_experiment(session, experiment_id)],
            chosen,
            unit="bins",
            per_histogram=per_histogram,
            limit=MAX_BINS,
        )
        rows = [
            {"epoch": capture.epoch, "step": capture.step, "layer": number, "quantity": name}
            | (native_bins(histogram) if binning == "native" else linear_bins(histogram, linear))
            for capture in records.captures(session, experiment_id, **chosen)
            for (number, name), histogram in capture.histograms.items()
        ]
    return _response(rows, CAPTURED, as_csv=as_csv)


@router.get(
    "/histograms",
    summary="Histograms of a captured quantity of several experiments, with common edges",
    response_model=SeveralHistogramsResponse,
    responses=OR_CSV,
)
@needs("read")
def histograms_of_several(
    experiments: ExperimentIds,
    reading: Reading,
    as_csv: WantsCSV,
    quantity: QuantityOfAll,
    layer: Layer = None,
    epoch: Epoch = None,
    bins: Bins = 50,
    low: Low = None,
    high: High = None,
) -> Response:
    """Return one histogram per experiment, captured step and layer. Its linear bins are those of every other one.

    Without `low` and `high` they reach from the smallest to the largest value of all these histograms.
    """
    linear = _linear(bins, low, high)
    ids = parse_ids(experiments)
    chosen: dict[str, Any] = {"quantities": [known_quantity(quantity)], "layer": layer, "epoch": epoch}
    with reading() as session:
        check_size(session, get_experiments(session, ids), chosen, unit="bins", per_histogram=bins, limit=MAX_BINS)
        common = linear.within(records.value_range(session, ids, **chosen))
        rows = [
            {"experiment": experiment_id, "epoch": capture.epoch, "step": capture.step, "layer": number}
            | {"quantity": name}
            | linear_bins(histogram, common)
            for experiment_id in ids
            for capture in records.captures(session, experiment_id, **chosen)
            for (number, name), histogram in capture.histograms.items()
        ]
    return _response(rows, ("experiment", *CAPTURED), as_csv=as_csv)


def _refuse_linear(request: Request) -> None:
    """Raise RequestValidationError for a parameter of linear bins."""
    reason = "native bins are as they are stored; only linear ones have a number and edges to choose"
    given = [name for name in ("bins", "low", "high") if name in request.query_params]
    if given:
        raise RequestValidationError([parameter_error(name, reason, request.query_params[name]) for name in given])


def _linear(bins: int, low: float | None, high: float | None) -> Linear:
    """Return the bins that were asked for. Raises RequestValidationError if there are none between the edges."""
    try:
        return Linear(bins, low, high)
    except ValueError as error:
        field, _, message = str(error).partition(": ")
        raise RequestValidationError([parameter_error(field, message, low)]) from None


def _response(rows: list[dict[str, Any]], captured: tuple[str, ...], *, as_csv: bool) -> Response:
    if as_csv:
        rows = [line for row in rows for line in _lines(row, captured)]
    return rows_response("histograms", rows, (*captured, *OF_A_HISTOGRAM, *OF_A_BIN), as_csv=as_csv)


def _lines(row: Mapping[str, Any], captured: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a line of CSV for each bin, and one without a low or a high edge for the values that lie outside.

    A histogram without bins has one line without edges, so that its zeros and non-finite values are not lost.
    """
    same = {name: row[name] for name in (*captured, *OF_A_HISTOGRAM)}
    inside = list(row["bins"]) or [(None, None, 0)]
    if row["below"]:
        inside.insert(0, [None, inside[0][0], row["below"]])
    if row["above"]:
        inside.append([inside[-1][1], None, row["above"]])
    for line in inside:
        yield same | dict(zip(OF_A_BIN, line, strict=True))
