"""Figures that compare several experiments."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from fastapi import HTTPException, Path, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from normlab.store import records
from normlab.store.experiments import get_experiments
from normlab.store.models import Experiment
from service.http.authorization import guarded_router, needs
from service.plots import SEPARATOR, ImageFormat, Run, accuracy_comparison, short, variant_name
from service.rendering.render_pool import Figure
from service.routes.experiment_ids import ExperimentIds, parse_ids
from service.routes.figure_notes import comparison_notes
from service.routes.figure_response import IMAGES, Revision, figure_response
from service.routes.responses import Reading

router = guarded_router("/plots", tag="figures", statuses=(404, 409))


@router.get(
    "/{split}-accuracy.{suffix}", summary="Accuracies of several experiments", response_class=Response, responses=IMAGES
)
@needs("read")
async def accuracies(
    request: Request,
    split: Annotated[Literal["train", "test"], Path(description="Accuracy on the training or on the test images.")],
    suffix: Annotated[ImageFormat, Path(description="Format of the image.")],
    reading: Reading,
    experiments: ExperimentIds,
    revision: Revision = None,
) -> Response:
    """One curve per experiment, coloured by variant as in the article. Returns 409 if none has an epoch yet."""
    ids = parse_ids(experiments)

    def check(session: Session) -> list[Experiment]:
        compared = get_experiments(session, ids)
        if not any(experiment.epochs_done for experiment in compared):
            raise HTTPException(409, "none of these experiments has recorded an epoch yet; there is nothing to draw")
        return compared

    def read(session: Session, compared: Sequence[Experiment]) -> Figure:
        runs = _runs(session, compared)
        heading, notes = _heading(compared), comparison_notes(compared)
        return partial(accuracy_comparison, runs, split, heading=heading, notes=notes, image_format=suffix)

    return await figure_response(request, reading, check, read, suffix=suffix, revision=revision)


def _heading(compared: Sequence[Experiment]) -> str:
    """Return the data sets, and the learning rate if all share it."""
    rates = _learning_rates(compared)
    shared = [f"learning rate {rates[0]}"] if len(rates) == 1 else []
    return SEPARATOR.join([", ".join(sorted({experiment.dataset for experiment in compared})), *shared])


def _runs(session: Session, compared: Sequence[Experiment]) -> list[Run]:
    """Return the curves, labelled by variant, number and name, and by the learning rate if not all share it."""
    several = len(_learning_rates(compared)) > 1
    return [
        Run(
            f"{variant_name(experiment.normalization)} ({_number_and_name(experiment)})"
            + (f", learning rate {_learning_rate(experiment)}" if several else ""),
            experiment.normalization,
            records.metrics(session, experiment.id),
        )
        for experiment in compared
    ]


def _number_and_name(experiment: Experiment) -> str:
    return f"{experiment.id}: {short(experiment.name)}" if experiment.name else str(experiment.id)


def _learning_rates(compared: Sequence[Experiment]) -> list[str]:
    return sorted({_learning_rate(experiment) for experiment in compared})


def _learning_rate(experiment: Experiment) -> str:
    return f"{experiment.spec['learning_rate']:g}"
