"""The gradient check of an experiment at its newest checkpoint: request it, and read it."""

from fastapi import HTTPException

from normlab.spec.gradient_check import RequestedGradientCheck
from normlab.store import gradient_checks
from normlab.store.experiments import get_experiment
from normlab.store.models import GradientCheckRow
from service.http.authorization import guarded_router, needs
from service.http.problems import problems
from service.routes.responses import ExperimentId, Reading, Writing, to_datetime

router = guarded_router("/experiments/{experiment_id}/gradient-check", tag="experiments", statuses=(404,))


@router.post("", status_code=202, summary="Request a gradient check at the newest checkpoint", responses=problems(409))
@needs("write")
def request(experiment_id: ExperimentId, writing: Writing) -> RequestedGradientCheck:
    """A worker takes it before its next experiment. A request while one is open returns the open one.

    Returns 409 while the experiment runs, and before its first checkpoint.
    """
    with writing.begin() as session:
        return _response(gradient_checks.request(session, experiment_id))


@router.get("", summary="Read the gradient check that was requested last")
@needs("read")
def read(experiment_id: ExperimentId, reading: Reading) -> RequestedGradientCheck:
    """Returns 404 if none was requested. The check before training is the experiment's `gradient_check`."""
    with reading() as session:
        get_experiment(session, experiment_id)
        check = gradient_checks.latest(session, experiment_id)
    if check is None:
        raise HTTPException(
            404,
            f"no gradient check of experiment {experiment_id} was requested; POST to this address requests one, and "
            f"the one before training is gradient_check of /experiments/{experiment_id}",
        )
    return _response(check)


def _response(check: GradientCheckRow) -> RequestedGradientCheck:
    if check.ended_at is None:
        status = "queued" if check.lease_expires_at is None else "running"
    else:
        status = "done" if check.error is None else "failed"
    return RequestedGradientCheck.model_validate(
        {
            "status": status,
            "requested_at": to_datetime(check.requested_at),
            "worker": check.worker,
            "ended_at": None if check.ended_at is None else to_datetime(check.ended_at),
            "result": check.result,
            "error": check.error,
        }
    )
