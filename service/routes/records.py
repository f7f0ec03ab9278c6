"""What was recorded: metrics, the layers' statistics, histograms. JSON or CSV."""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import HTTPException, Query
from fastapi.responses import Response
from pydantic import Field

from normlab.spec.quantities import QUANTITIES
from normlab.store import records
from normlab.store.histograms import Histogram
from normlab.store.records import EpochMetrics
from service.authorization import needs, routes
from service.routes.responses import ExperimentId, Reading, WantsCSV, existing, rows

router = routes("/experiments/{experiment_id}", tag="records", may_answer=(404,))

MAX_ROWS, MAX_BINS = 50_000, 200_000  # of one answer, some 12 MB
NATIVE_BINS = 200  # that a stored histogram has, or so

WHERE = ("epoch", "step", "layer", "quantity")
STATISTICS = {  # as they are answered, and a histogram's attributes
    "count": "count", "zeros": "zeros", "nans": "nans", "positive_infinities": "positive_infinities",
    "negative_infinities": "negative_infinities", "min": "minimum", "max": "maximum", "mean": "mean", "std": "std",
    "l2_norm": "l2_norm",
}  # fmt: skip

OR_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
ONE_OF_THEM = {"enum": list(QUANTITIES)}
Layer = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only this layer, by its convolution's number.")]
Quantity = Annotated[str, Field(json_schema_extra=ONE_OF_THEM)]
Epoch = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only this epoch, from 0.")]


@router.get("/metrics", summary="Loss, accuracy and time of every epoch", responses=OR_CSV)
@needs("read")
def metrics(experiment_id: ExperimentId, reading: Reading, as_csv: WantsCSV) -> Response:
    """One row an epoch, all of them. A loss that was not finite is null."""
    with reading() as session:
        existing(session, experiment_id)
        found = records.metrics(session, experiment_id)
    names = EpochMetrics.__dataclass_fields__
    return rows("metrics", [{name: getattr(row, name) for name in names} for row in found], names, as_csv=as_csv)


@router.get("/layers", summary="Statistics of every captured quantity", responses=OR_CSV)
@needs("read")
def layers(
    experiment_id: ExperimentId,
    reading: Reading,
    as_csv: WantsCSV,
    quantity: Annotated[Quantity | None, Query(description="Only this quantity.")] = None,
    layer: Layer = None,
    epoch: Epoch = None,
) -> Response:
    """One row per captured step, layer and quantity; the statistics are exact, over the finite values."""
    wanted = () if quantity is None else (known_quantity(quantity),)
    with reading() as session:
        existing(session, experiment_id)
        count = records.count_histograms(session, experiment_id, quantities=wanted, layer=layer, epoch=epoch)
        _check_size("rows", count, MAX_ROWS)
        captures = list(records.captures(session, experiment_id, quantities=wanted, layer=layer, epoch=epoch))
    found = [
        {"epoch": capture.epoch, "step": capture.step, "layer": number, "quantity": name}
        | {said: getattr(histogram, attribute) for said, attribute in STATISTICS.items()}
        for capture in captures
        for (number, name), histogram in capture.histograms.items()
    ]
    return rows("layers", found, (*WHERE, *STATISTICS), as_csv=as_csv)


@router.get("/histograms", summary="Histograms of a captured quantity", responses=OR_CSV)
@needs("read")
def histograms(
    experiment_id: ExperimentId,
    reading: Reading,
    as_csv: WantsCSV,
    quantity: Annotated[Quantity, Query(description="One of the captured quantities.")],
    layer: Layer = None,
    epoch: Epoch = None,
    binning: Annotated[
        Literal["linear", "native"],
        Query(description="`bins` equal bins from the exact minimum to the maximum, zeros among them; or the bins as "
              "stored, zeros apart."),
    ] = "linear",
    bins: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:  # fmt: skip
    """Bins as [low, high, count]. Linear counts are shared out of the stored bins, so they need not be whole."""
    wanted = [known_quantity(quantity)]
    with reading() as session:
        existing(session, experiment_id)
        count = records.count_histograms(session, experiment_id, quantities=wanted, layer=layer, epoch=epoch)
        _check_size("bins", count * (bins if binning == "linear" else NATIVE_BINS), MAX_BINS)
        captures = list(records.captures(session, experiment_id, quantities=wanted, layer=layer, epoch=epoch))
    found: list[dict[str, Any]] = [
        {"epoch": capture.epoch, "step": capture.step, "layer": number, "quantity": name}
        | {"zeros": histogram.zeros, "nonfinite": histogram.nonfinite, "bins": _bins(histogram, binning, bins)}
        for capture in captures
        for (number, name), histogram in capture.histograms.items()
    ]
    if as_csv:
        found = [
            {name: row[name] for name in WHERE} | {"low": low, "high": high, "count": count}
            for row in found
            for low, high, count in row["bins"]
        ]
    return rows("histograms", found, (*WHERE, "low", "high", "count"), as_csv=as_csv)


def known_quantity(name: str) -> str:
    """The name, if it is a quantity's. Raises HTTPException 422."""
    if name not in QUANTITIES:
        raise HTTPException(422, f"quantity: {name[:50]!r} is none of {', '.join(QUANTITIES)}")
    return name


def _check_size(what: str, count: int, most: int) -> None:
    """Raises HTTPException 422 for an answer that is larger than one should be."""
    if count > most:
        raise HTTPException(
            422,
            f"this would be some {count:,} {what}, and at most {most:,} are answered at once: name a layer, an epoch",
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
