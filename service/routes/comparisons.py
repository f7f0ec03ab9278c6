"""Several experiments in one figure."""

from collections import Counter
from functools import partial
from typing import Annotated, Literal

from fastapi import HTTPException, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from normlab.store import records
from normlab.store.models import Experiment
from service.authorization import needs, routes
from service.plots import ImageFormat, Run, accuracy_comparison, short, variant_name
from service.routes.figure_response import IMAGES, Figure, figure_response
from service.routes.responses import Reading, existing

router = routes("/plots", tag="figures", may_answer=(404, 409))

MAX_EXPERIMENTS = 50
NUMBERS = (
    rf"^[1-9][0-9]{{0,8}}(,[1-9][0-9]{{0,8}}){{0,{MAX_EXPERIMENTS - 1}}}$"  # as documented; _numbers takes some more
)


@router.get(
    "/{split}-accuracy.{suffix}", summary="Accuracies of several experiments", response_class=Response, responses=IMAGES
)
@needs("read")
async def accuracies(
    request: Request,
    split: Literal["train", "test"],
    suffix: ImageFormat,
    reading: Reading,
    experiments: Annotated[
        str,
        Query(
            description="Their numbers, comma-separated.", examples=["1,2,3"], json_schema_extra={"pattern": NUMBERS}
        ),
    ],
) -> Response:
    """One curve an experiment, in the article's colours by variant. 409 if none has an epoch yet."""
    numbers = _numbers(experiments)
    found = await run_in_threadpool(_found, reading, numbers)
    if not any(experiment.epochs_done for experiment in found):
        raise HTTPException(409, "none of these experiments has recorded an epoch yet; there is nothing to draw")
    heading = ", ".join(sorted({experiment.dataset for experiment in found}))

    def read() -> Figure:
        with reading() as session:
            runs = _runs(session, found)
        return partial(accuracy_comparison, runs, split, heading=heading, image_format=suffix)

    return await figure_response(
        request,
        read,
        suffix=suffix,
        state=tuple((experiment.id, experiment.attempt, experiment.epochs_done) for experiment in found),
        immutable=all(experiment.status == "succeeded" for experiment in found),
    )


def _found(reading: sessionmaker[Session], numbers: list[int]) -> list[Experiment]:
    with reading() as session:
        return [existing(session, number) for number in numbers]


def _runs(session: Session, found: list[Experiment]) -> list[Run]:
    """Curves named by what tells them apart: the variant, and if need be the experiment's name or number."""
    several = {variant for variant, count in Counter(e.normalization for e in found).items() if count > 1}
    return [
        Run(
            variant_name(experiment.normalization)
            + (f" ({_called(experiment)})" if experiment.normalization in several else ""),
            experiment.normalization,
            records.metrics(session, experiment.id),
        )
        for experiment in found
    ]


def _is_a_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 10 and 0 < int(word) < 2**31


def _called(experiment: Experiment) -> str:
    name = experiment.spec["name"]
    return f"{short(name)}, {experiment.id}" if name else str(experiment.id)


def _numbers(listed: str) -> list[int]:
    words = [word.strip() for word in listed.split(",") if word.strip()]
    if not words or len(words) > MAX_EXPERIMENTS or not all(map(_is_a_number, words)):
        raise HTTPException(
            422, f"experiments: expected 1 to {MAX_EXPERIMENTS} numbers such as 1,2,3; got {listed[:50]!r}"
        )
    return list(dict.fromkeys(map(int, words)))
