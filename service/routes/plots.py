"""An experiment's figures: their index, and each figure as PNG, SVG, PDF or GIF."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, get_args

import numpy as np
from fastapi import HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.orm import Session

from normlab.spec.quantities import ARTICLE_QUANTITIES, QUANTITIES
from normlab.spec.record_responses import PlotResponse, PlotsResponse
from normlab.store import records
from normlab.store.experiments import get_experiment, spec_of
from normlab.store.models import Experiment
from service.http.authorization import guarded_router, needs
from service.http.problems import problems
from service.http.query_parameters import parameter_error
from service.plots import (
    MAX_FRAMES,
    SEPARATOR,
    Axis,
    ImageFormat,
    Scale,
    accuracy_curves,
    layer_captions,
    loss_curves,
    quantity_gif,
    quantity_still,
    short,
    summary_still,
    variant_name,
)
from service.rendering.render_pool import Figure
from service.routes.captured import layers_by_quantity, not_captured_at
from service.routes.figure_notes import warning_notes
from service.routes.figure_response import IMAGES, MEDIA_TYPES, Revision, figure_response, with_revision
from service.routes.responses import ExperimentId, Reading

router = guarded_router("/experiments/{experiment_id}/plots", tag="figures", statuses=(404,))

CURVES = {"loss": loss_curves, "accuracy": accuracy_curves}
TITLES = (
    {"summary": "The article's four quantities at one epoch"}
    | {name: quantity.title for name, quantity in QUANTITIES.items()}
    | {"loss": "Loss over epochs", "accuracy": "Accuracy over epochs"}
)


@router.get("", summary="List the figures of an experiment")
@needs("read")
def index(experiment_id: ExperimentId, reading: Reading) -> PlotsResponse:
    """Return the name, the title and the addresses of each figure."""
    with reading() as session:
        experiment = get_experiment(session, experiment_id)
    plots = []
    for name in _names(experiment):
        suffixes = (*get_args(ImageFormat), "gif") if name in QUANTITIES else get_args(ImageFormat)
        address = f"/experiments/{experiment_id}/plots/{name}"
        urls = {MEDIA_TYPES[suffix]: with_revision(f"{address}.{suffix}", [experiment]) for suffix in suffixes}
        plots.append(PlotResponse(name=name, title=TITLES[name], urls=urls))
    return PlotsResponse(plots=plots)


@router.get("/{name}.{suffix}", summary="Fetch a figure", response_class=Response, responses=IMAGES | problems(409))
@needs("read")
async def plot(
    request: Request,
    experiment_id: ExperimentId,
    name: Annotated[str, Path(description=f"One of {', '.join(TITLES)}.")],
    suffix: Annotated[Literal[ImageFormat, "gif"], Path(description="Format. Only a quantity has a GIF.")],
    reading: Reading,
    epoch: Annotated[
        int | None, Query(ge=0, le=2**31 - 1, description="Epoch that a still shows. Default: the last captured one.")
    ] = None,
    axis: Annotated[
        Axis | None,
        Query(
            description="Of a quantity's figure. `fixed`, the default: the same ranges in every frame of a GIF. "
            "`free`: each frame has its own."
        ),
    ] = None,
    scale: Annotated[
        Scale, Query(description="Scale of the axis of values. `symlog` is linear near 0 and logarithmic beyond.")
    ] = "linear",
    revision: Revision = None,
) -> Response:
    """Return a quantity's grid as still or GIF, the summary, or a curve. Returns 409 before the first epoch."""

    def check(session: Session) -> list[Experiment]:
        experiment = _checked(session, experiment_id, name, suffix)
        _refuse_unused(request, name, suffix)
        return [experiment]

    def read(session: Session, experiments: Sequence[Experiment]) -> Figure:
        [experiment] = experiments
        heading, notes = _heading(experiment), warning_notes(experiment)
        if name in CURVES:
            metrics = records.metrics(session, experiment_id)
            return partial(CURVES[name], metrics, heading=heading, notes=notes, image_format=_still_format(suffix))
        quantities = ARTICLE_QUANTITIES if name == "summary" else [name]
        steps = records.captured_steps(session, experiment_id, quantities[0])
        step = _step(steps, epoch)
        chosen = [step] if name == "summary" else sorted({step, *_spread(steps)})
        captures = list(records.captures(session, experiment_id, quantities=quantities, steps=chosen))
        shown = chosen.index(step)
        layers = spec_of(experiment).layer_shapes()
        options: dict[str, Any] = {
            "heading": heading,
            "notes": notes,
            "captions": layer_captions(layers, QUANTITIES[quantities[0]]),
            "scale": scale,
        }
        if name == "summary":
            return partial(summary_still, captures[shown], **options, image_format=_still_format(suffix))
        options["axis"] = axis or "fixed"
        if suffix == "gif":
            return partial(quantity_gif, captures, QUANTITIES[name], **options)
        return partial(
            quantity_still, captures, QUANTITIES[name], index=shown, **options, image_format=_still_format(suffix)
        )

    return await figure_response(request, reading, check, read, suffix=suffix, revision=revision)


def _checked(session: Session, experiment_id: int, name: str, suffix: str) -> Experiment:
    """Return the experiment, if it has this figure. Raises HTTPException 404 or 409, or NoSuchExperiment."""
    experiment = get_experiment(session, experiment_id)
    names = _names(experiment)
    if name not in names:
        raise HTTPException(404, f"experiment {experiment.id} has no figure {name[:50]!r}; it has {', '.join(names)}")
    if suffix == "gif" and name not in QUANTITIES:
        raise HTTPException(404, f"{name} is a still; request it as {', '.join(get_args(ImageFormat))}")
    if experiment.epochs_done == 0:
        raise HTTPException(
            409,
            f"experiment {experiment.id} is {experiment.status}: no figure before its first epoch is recorded",
        )
    return experiment


def _refuse_unused(request: Request, name: str, suffix: str) -> None:
    """Raises RequestValidationError for a parameter that this figure has no use for."""
    unused: tuple[str, ...]
    if name in CURVES:
        unused, reason = ("epoch", "axis", "scale"), f"{name} shows every epoch, on axes that do not change"
    elif suffix == "gif":
        unused, reason = ("epoch",), "a GIF shows every captured epoch"
    elif name == "summary":
        unused, reason = ("axis",), "the summary shows one epoch, with that epoch's ranges"
    else:
        return
    given = [parameter for parameter in unused if parameter in request.query_params]
    if given:
        raise RequestValidationError([parameter_error(each, reason, request.query_params[each]) for each in given])


def _names(experiment: Experiment) -> list[str]:
    """Return the names of the figures: of the quantities that the experiment captures in the layers that it has."""
    captured = layers_by_quantity(experiment)
    has_summary = set(ARTICLE_QUANTITIES) <= set(captured)
    return [name for name in TITLES if name in captured or name in CURVES or (name == "summary" and has_summary)]


def _heading(experiment: Experiment) -> str:
    name = [short(experiment.name)] if experiment.name else []
    protocol = ["original protocol"] if experiment.spec["protocol"] == "original" else []
    words = [
        f"experiment {experiment.id}", *name, variant_name(experiment.normalization), experiment.dataset, *protocol,
        f"seed {experiment.seed}", f"learning rate {experiment.spec['learning_rate']:g}",
    ]  # fmt: skip
    return SEPARATOR.join(words)


def _step(steps: list[tuple[int, int]], epoch: int | None) -> int:
    """Return the step of the last capture, or of the epoch's last one. Raises HTTPException 404 if there is none."""
    chosen = [step for captured_epoch, step in steps if epoch is None or captured_epoch == epoch]
    if not chosen:
        raise not_captured_at(epoch, [captured_epoch for captured_epoch, _ in steps])
    return chosen[-1]


def _spread(steps: list[tuple[int, int]]) -> list[int]:
    """Return as many steps as a GIF has frames, evenly spread, with the first and the last. Others are not read."""
    indices = np.linspace(0, len(steps) - 1, min(len(steps), MAX_FRAMES))
    return [steps[round(index)][1] for index in indices]


def _still_format(suffix: str) -> ImageFormat:
    return next(image_format for image_format in get_args(ImageFormat) if image_format == suffix)
