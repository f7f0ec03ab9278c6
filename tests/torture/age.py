"""`python -m tests.torture.age`: claims and the list in a database that has lived for long.

There are 200,000 ended experiments with their attempts, of 20,000 groups, and somebody has left a transaction open, so
that nothing that dies after it can be cleared away: neither PostgreSQL's old rows nor SQLite's WAL.
"""

import argparse
import asyncio
import json
import time

from sqlalchemy import insert, text

from normlab.spec.experiment import ExperimentSpec
from normlab.store import claims
from normlab.store.models import Attempt, Experiment, GroupRow
from tests.experiments import enqueue
from tests.torture.services import Client, Service
from tests.torture.workers import database_of

SLOWEST_CLAIM_SECONDS, SLOWEST_LIST_SECONDS = 0.020, 0.050
STATUSES = ("succeeded", "succeeded", "succeeded", "failed", "cancelled")
GROUPS = 20_000
AT_ONCE = 10_000


def main() -> None:
    """Measure, say what came of it in one line, and exit with 1 if anything is slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--ended", type=int, default=200_000)
    parser.add_argument("--claims", type=int, default=1000)
    arguments = parser.parse_args()
    claimed, listed = age(arguments.database, arguments.ended, arguments.claims)
    raise SystemExit(claimed > SLOWEST_CLAIM_SECONDS or listed > SLOWEST_LIST_SECONDS)


def age(kind: str, ended: int, count: int) -> tuple[float, float]:
    """The 99th percentile of the seconds that a claim takes, and that the list's first page does."""
    with database_of(kind) as database:
        for first in range(0, ended, AT_ONCE):
            _fill(database, first, min(AT_ONCE, ended - first))
        with database.reader.connect() as left_open:
            if kind == "postgresql":
                # Somebody else's: one of ours would be ended by the server.
                left_open.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
                left_open.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            left_open.execute(text("SELECT count(*) FROM experiments")).scalar()
            claimed = sorted(_claims(database, count))
            listed = sorted(_lists(database))
    p99 = [times[int(0.99 * len(times))] for times in (claimed, listed)]
    print(
        f"age on {kind}: {ended} ended experiments of {GROUPS} groups, an open transaction; claim median "
        f"{1000 * claimed[count // 2]:.1f} ms, p99 {1000 * p99[0]:.1f} ms of {count}; the list's first page median "
        f"{1000 * listed[len(listed) // 2]:.1f} ms, p99 {1000 * p99[1]:.1f} ms",
        flush=True,
    )
    return p99[0], p99[1]


def _fill(database, first, count):
    spec = ExperimentSpec(dataset="digits")
    made = {
        "created_at": 1.0, "spec": spec.model_dump(mode="json"), "normalization": "none", "dataset": "digits",
        "seed": 0, "priority": 0, "attempt": 1, "attempts_before_retry": 0, "epochs_done": 1, "step": 9,
        "started_at": 2.0, "ended_at": 3.0,
    }  # fmt: skip
    places = range(first, first + count)
    with database.writing.begin() as session:
        if first == 0:
            names = [{"name": f"g{number}", "claimed_at": float(number)} for number in range(1, GROUPS)]
            session.execute(insert(GroupRow), names)
        session.execute(
            insert(Experiment),
            [
                made
                | {
                    "status": STATUSES[place % len(STATUSES)],
                    "queue_group": f"g{place % GROUPS}" * bool(place % GROUPS),
                }
                for place in places
            ],
        )
        session.execute(
            insert(Attempt),
            [
                {"experiment_id": place + 1, "attempt": 1, "worker": "w", "claimed_at": 2.0, "ended_at": 3.0}
                | {"outcome": STATUSES[place % len(STATUSES)]}
                for place in places
            ],
        )


def _claims(database, count):
    """The seconds of each, as a worker does it: look, and take what comes next. Those taken end, as they do."""
    for place in range(count):
        if place % 50 == 0:
            for number in range(50):
                enqueue(database, group=f"g{number}" if number else None)
        began = time.perf_counter()
        with database.reading() as session:
            assert claims.has_work(session) == (True, False)
        with database.writing.begin() as session:
            held = claims.claim(session, worker="w", lease_seconds=30)
        yield time.perf_counter() - began
        with database.writing.begin() as session:
            claims.heartbeat(session, held, step=1, lease_seconds=30)
        with database.writing.begin() as session:
            claims.succeed(session, held)


def _lists(database, count=200):
    service = Service(database.url)

    async def ask():
        times = []
        async with Client(service.port) as client:
            for _ in range(count):
                began = time.perf_counter()
                status, page = await client.ask("GET", "/experiments")
                times.append(time.perf_counter() - began)
                assert (status, len(json.loads(page)["experiments"])) == (200, 50)
        return times[5:]

    try:
        return asyncio.run(ask())
    finally:
        service.kill()


if __name__ == "__main__":
    main()
