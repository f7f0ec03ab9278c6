"""Figures that compare several experiments."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from fastapi import HTTPException, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from normlab.store import records
from normlab.store.experiments import get_experiments
from normlab.store.models import Experiment
from service.authorization import guarded_router, needs
from service.plots import ImageFormat, Run, accuracy_comparison, short, variant_name
from service.render_pool import Figure
from service.routes.figure_response import IMAGES, Revision, figure_response
from service.routes.responses import Reading

router = guarded_router("/plots", tag="figures", statuses=(404, 409))

MAX_EXPERIMENTS = 50
# The documented pattern. _parse_ids also accepts spaces, empty items and repeated numbers.
IDS = rf"^[1-9][0-9]{{0,8}}(,[1-9][0-9]{{0,8}}){{0,{MAX_EXPERIMENTS - 1}}}$"


@router.get(
    "/{split}-accuracy.{suffix}", summary="Accuracies of several experiments", response_class=Response, responses=IMAGES
)
@needs("read")
async def accuracies(
    request: Request,
    split: Annotated[Literal["train", "test"], Path(description="Accuracy on the training or on the test images.")],
    suffix: Annotated[ImageFormat, Path(description="Format of the image.")],
    reading: Reading,
    experiments: Annotated[
        str,
        Query(
            description="Numbers of the experiments, separated by commas.",
            examples=["1,2,3"],
            json_schema_extra={"pattern": IDS},
        ),
    ],
    revision: Revision = None,
) -> Response:
    """One curve per experiment, coloured by variant as in the article. Returns 409 if none has an epoch yet."""
    ids = _parse_ids(experiments)

    def check(session: Session) -> list[Experiment]:
        compared = get_experiments(session, ids)
        if not any(experiment.epochs_done for experiment in compared):
            raise HTTPException(409, "none of these experiments has recorded an epoch yet; there is nothing to draw")
        return compared

    def read(session: Session, compared: Sequence[Experiment]) -> Figure:
        heading = ", ".join(sorted({experiment.dataset for experiment in compared}))
        return partial(accuracy_comparison, _runs(session, compared), split, heading=heading, image_format=suffix)

    return await figure_response(request, reading, check, read, suffix=suffix, revision=revision)


def _parse_ids(listed: str) -> list[int]:
    """Return the numbers of a comma-separated list, each once. Raises HTTPException 422."""
    words = [word.strip() for word in listed.split(",") if word.strip()]
    if not words or len(words) > MAX_EXPERIMENTS or not all(map(_is_an_id, words)):
        raise HTTPException(
            422, f"experiments: expected 1 to {MAX_EXPERIMENTS} numbers such as 1,2,3; got {listed[:50]!r}"
        )
    return list(dict.fromkeys(map(int, words)))


def _is_an_id(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 10 and 0 < int(word) < 2**31


def _runs(session: Session, compared: Sequence[Experiment]) -> list[Run]:
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
