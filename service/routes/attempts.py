"""Attempts: who has run an experiment, on what, from which step on, and how that ended."""

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy import select

from normlab.store.models import Attempt
from service.authorization import needs, routes
from service.routes.responses import ExperimentId, Reading, existing, moment

router = routes("/experiments/{experiment_id}/attempts", tag="experiments", may_answer=(404,))


class AttemptResponse(BaseModel):
    """One claim of an experiment. device, threads and engine are null until its training began."""

    attempt: int
    worker: str
    claimed_at: datetime
    resumed_at_step: int | None = Field(description="How many steps were done before; null if it began at the start.")
    device: str | None
    threads: int | None
    engine: str | None
    differs: list[str] = Field(
        description="What is other than where the training began, so that the experiment may end with other last bits "
        "than an undisturbed one."
    )
    ended_at: datetime | None
    outcome: str | None = Field(description="succeeded, failed, cancelled, paused, given back or lost; null: it runs")
    detail: str | None


class AttemptsResponse(BaseModel):
    """All of them, in order."""

    attempts: list[AttemptResponse]


@router.get("", summary="Who has run an experiment")
@needs("read")
def attempts(experiment_id: ExperimentId, reading: Reading) -> AttemptsResponse:
    """One row a claim: an experiment that was resumed has several."""
    with reading() as session:
        existing(session, experiment_id)
        found = session.scalars(
            select(Attempt).where(Attempt.experiment_id == experiment_id).order_by(Attempt.attempt)
        ).all()
    return AttemptsResponse(attempts=[_answer(attempt) for attempt in found])


def _answer(attempt: Attempt) -> AttemptResponse:
    ran_on = attempt.provenance or {}
    return AttemptResponse(
        attempt=attempt.attempt,
        worker=attempt.worker,
        claimed_at=moment(attempt.claimed_at),
        resumed_at_step=attempt.resumed_at_step,
        device=ran_on.get("device"),
        threads=ran_on.get("threads"),
        engine=ran_on.get("engine"),
        differs=ran_on.get("differs", []),
        ended_at=None if attempt.ended_at is None else moment(attempt.ended_at),
        outcome=attempt.outcome,
        detail=attempt.detail,
    )
