"""An experiment's figures: their index, and each as PNG, SVG or GIF."""

from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import HTTPException, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.quantities import ARTICLE_QUANTITIES, QUANTITIES
from normlab.store import records
from normlab.store.models import Experiment
from service.authorization import needs, routes
from service.plots import (
    MAX_FRAMES,
    Axis,
    ImageFormat,
    Scale,
    accuracy_curves,
    loss_curves,
    quantity_gif,
    quantity_still,
    short,
    summary_still,
    variant_name,
)
from service.problems import problems
from service.routes.figure_response import IMAGES, MEDIA_TYPES, Figure, figure_response
from service.routes.responses import ExperimentId, Reading, existing

router = routes("/experiments/{experiment_id}/plots", tag="figures", may_answer=(404,))

CURVES = {"loss": loss_curves, "accuracy": accuracy_curves}
TITLES = (
    {"summary": "The article's four quantities at one epoch"}
    | {name: quantity.title for name, quantity in QUANTITIES.items()}
    | {"loss": "Loss over epochs", "accuracy": "Accuracy over epochs"}
)


@router.get("", summary="Which figures there are")
@needs("read")
def index(experiment_id: ExperimentId, reading: Reading) -> dict[str, list[dict[str, Any]]]:
    """Name, title and address by media type. They can be drawn once an epoch is recorded."""
    with reading() as session:
        experiment = existing(session, experiment_id)
    plots = []
    for name in _names(experiment):
        suffixes = ("png", "svg", "gif") if name in QUANTITIES else ("png", "svg")
        urls = {MEDIA_TYPES[suffix]: f"/experiments/{experiment_id}/plots/{name}.{suffix}" for suffix in suffixes}
        plots.append({"name": name, "title": TITLES[name], "urls": urls})
    return {"plots": plots}


@router.get("/{name}.{suffix}", summary="A figure", response_class=Response, responses=IMAGES | problems(409))
@needs("read")
async def plot(
    request: Request,
    experiment_id: ExperimentId,
    name: Annotated[str, Path(description=f"One of {', '.join(TITLES)}.")],
    suffix: Literal["png", "svg", "gif"],
    reading: Reading,
    epoch: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Of a still. Default: the last.")] = None,
    axis: Annotated[Axis, Query(description="Ranges fixed over the whole GIF, or each frame's own.")] = "fixed",
    scale: Annotated[Scale, Query(description="Of the values.")] = "linear",
) -> Response:
    """A quantity's grid as still or GIF, the summary, or a curve. 409 before the first epoch is recorded."""
    experiment = await run_in_threadpool(_checked, reading, experiment_id, name, suffix)
    heading = _heading(experiment)

    def read() -> Figure:
        with reading() as session:
            if name in CURVES:
                found = records.metrics(session, experiment_id)
                return partial(CURVES[name], found, heading=heading, image_format=_still(suffix))
            quantities = ARTICLE_QUANTITIES if name == "summary" else [name]
            steps = records.captured_steps(session, experiment_id, quantities[0])
            step = _step(steps, epoch)
            chosen = [step] if name == "summary" else sorted({step, *_evenly(steps)})
            captures = list(records.captures(session, experiment_id, quantities=quantities, steps=chosen))
        shown = chosen.index(step)
        if name == "summary":
            still = _still(suffix)
            return partial(summary_still, captures[shown], heading=heading, scale=scale, image_format=still)
        if suffix == "gif":
            return partial(quantity_gif, captures, QUANTITIES[name], heading=heading, axis=axis, scale=scale)
        return partial(
            quantity_still, captures, QUANTITIES[name], index=shown, heading=heading, axis=axis, scale=scale,
            image_format=_still(suffix),
        )  # fmt: skip

    # A failed or cancelled experiment may be retried and grow; one that succeeded never changes again.
    return await figure_response(
        request, read, suffix=suffix,
        state=(experiment_id, experiment.attempt, experiment.epochs_done, experiment.step),
        immutable=experiment.status == "succeeded",
    )  # fmt: skip


def _names(experiment: Experiment) -> list[str]:
    """The figures of this experiment: those of the quantities it captures, of the layers that it has."""
    spec = ExperimentSpec.stored(experiment.spec)
    captured = [name for name in QUANTITIES if name in spec.capture_quantities]
    if not any(layer.kind == "normalization" for layer in spec.layer_shapes()):
        captured = [name for name in captured if QUANTITIES[name].layers != "normalization"]
    has_summary = set(ARTICLE_QUANTITIES) <= set(captured)
    return [name for name in TITLES if name in captured or name in CURVES or (name == "summary" and has_summary)]


def _checked(reading: sessionmaker[Session], experiment_id: int, name: str, suffix: str) -> Experiment:
    """The experiment, if it has this figure. Raises HTTPException 404 or 409, or NoSuchExperiment."""
    with reading() as session:
        experiment = existing(session, experiment_id)
    names = _names(experiment)
    if name not in names:
        raise HTTPException(404, f"experiment {experiment.id} has no figure {name[:50]!r}; it has {', '.join(names)}")
    if suffix == "gif" and name not in QUANTITIES:
        raise HTTPException(404, f"{name} is a still; ask for {name}.png or {name}.svg")
    if experiment.epochs_done == 0:
        raise HTTPException(
            409,
            f"experiment {experiment.id} is {experiment.status}: no figure before its first epoch is recorded",
        )
    return experiment


def _step(steps: list[tuple[int, int]], epoch: int | None) -> int:
    """Of the capture that is shown: the last, or the last of the epoch. Raises HTTPException 404 if there is none."""
    found = [step for captured, step in steps if epoch is None or captured == epoch]
    if not found:
        there = sorted({captured for captured, _ in steps})
        raise HTTPException(404, f"the layers were not captured at that epoch; they were at {_listed(there)}")
    return found[-1]


def _evenly(steps: list[tuple[int, int]]) -> list[int]:
    """As many as a GIF has frames, the first and the last among them: more are not even read."""
    places = np.linspace(0, len(steps) - 1, min(len(steps), MAX_FRAMES))
    return [steps[round(place)][1] for place in places]


def _listed(epochs: list[int]) -> str:
    few = [str(epoch) for epoch in epochs]
    return ", ".join(few if len(few) <= 20 else [*few[:10], "…", *few[-10:]]) or "none yet"


def _still(suffix: str) -> ImageFormat:
    return "svg" if suffix == "svg" else "png"


def _heading(experiment: Experiment) -> str:
    spec = experiment.spec
    name = [short(spec["name"])] if spec["name"] else []
    protocol = ["original protocol"] if spec["protocol"] == "original" else []
    words = [*name, variant_name(experiment.normalization), experiment.dataset, *protocol, f"seed {spec['seed']}"]
    return " · ".join(words)
