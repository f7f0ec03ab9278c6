"""Figures that compare several experiments."""

from collections import Counter
from functools import partial
from typing import Annotated, Literal

from fastapi import HTTPException, Path, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from normlab.spec.lifecycle import Status
from normlab.store import records
from normlab.store.experiments import get_experiments
from normlab.store.models import Experiment
from service.authorization import guarded_router, needs
from service.plots import ImageFormat, Run, accuracy_comparison, short, variant_name
from service.routes.experiment_ids import ExperimentIds, parse_ids
from service.routes.figure_response import IMAGES, Figure, figure_response
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
) -> Response:
    """One curve per experiment, coloured by variant as in the article. Returns 409 if none has an epoch yet."""
    compared = await run_in_threadpool(_read, reading, parse_ids(experiments))
    if not any(experiment.epochs_done for experiment in compared):
        raise HTTPException(409, "none of these experiments has recorded an epoch yet; there is nothing to draw")
    heading = ", ".join(sorted({experiment.dataset for experiment in compared}))

    def read() -> Figure:
        with reading() as session:
            runs = _runs(session, compared)
        return partial(accuracy_comparison, runs, split, heading=heading, image_format=suffix)

    return await figure_response(
        request,
        read,
        suffix=suffix,
        state=tuple((experiment.id, experiment.attempt, experiment.epochs_done) for experiment in compared),
        immutable=all(experiment.status == Status.SUCCEEDED for experiment in compared),
    )


def _read(reading: sessionmaker[Session], ids: list[int]) -> list[Experiment]:
    with reading() as session:
        return get_experiments(session, ids)


def _runs(session: Session, compared: list[Experiment]) -> list[Run]:
    """Return the curves, labelled by variant, and by the experiment's name and number where a variant recurs."""
    counts = Counter(experiment.normalization for experiment in compared)
    return [
        Run(
            variant_name(experiment.normalization)
            + (f" ({_name_and_number(experiment)})" if counts[experiment.normalization] > 1 else ""),
            experiment.normalization,
            records.metrics(session, experiment.id),
        )
        for experiment in compared
    ]


def _name_and_number(experiment: Experiment) -> str:
    return f"{short(experiment.name)}, {experiment.id}" if experiment.name else str(experiment.id)
