"""What many tests do with the queue: enqueue, claim and read experiments, and wait for a condition."""

import time

from sqlalchemy import select, update

from normlab.spec.experiment import ExperimentSpec
from normlab.store import claims
from normlab.store.database import database_now
from normlab.store.enqueue import Submission, enqueue_all
from normlab.store.models import Attempt, Experiment


def do(database, verb, *arguments, **options):
    """Run a verb of the queue or of a claim in a transaction of its own."""
    with database.writing.begin() as session:
        return verb(session, *arguments, **options)


def enqueue(database, spec=None, *, idempotency=None, **fields):
    """Queue an experiment of a spec, or of its fields, and return its number."""
    spec = ExperimentSpec(**({"dataset": "digits"} | fields)) if spec is None else spec
    (result,) = do(database, enqueue_all, [Submission(spec, idempotency)])
    if isinstance(result, Exception):
        raise result
    return result.id


def claimed(database, *, worker="w", lease_seconds=30.0):
    """Claim the next experiment."""
    return do(database, claims.claim, worker=worker, lease_seconds=lease_seconds)


def expire(database, number):
    """Let the lease of a running experiment end."""
    with database.writing.begin() as session:
        session.execute(update(Experiment).where(Experiment.id == number).values(lease_expires_at=database_now() - 1))


def read(database, number):
    """Read an experiment."""
    with database.reading() as session:
        return session.get_one(Experiment, number)


def attempts(database, number):
    """Read how each attempt of an experiment ended: its outcome and detail."""
    with database.reading() as session:
        rows = session.scalars(select(Attempt).where(Attempt.experiment_id == number).order_by(Attempt.attempt))
        return [(row.outcome, row.detail) for row in rows]


def until(condition, *, seconds=60, every_seconds=0.02):
    """Wait until the condition holds, and fail if it does not within the given seconds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "the condition did not become true"
        time.sleep(every_seconds)
