"""`python -m tests.torture.age`: how long claims and the list take in a database with many ended experiments.

There are 200,000 ended experiments in 20,000 groups, with their attempts. A transaction was left open before, so that
PostgreSQL cannot remove old row versions, and SQLite cannot shorten its WAL.
"""

import asyncio
import json
import time

from sqlalchemy import insert, text

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.spec.experiment import ExperimentSpec
from normlab.store import claims
from normlab.store.models import Attempt, Experiment, GroupRow
from tests.experiments import claimed, do, enqueue
from tests.torture.services import Client, Service
from tests.torture.workers import database_of

MAX_CLAIM_SECONDS, MAX_LIST_SECONDS = 0.020, 0.050
STATUSES = ("succeeded", "succeeded", "succeeded", "failed", "cancelled")
GROUPS = 20_000
ROWS_PER_INSERT = 10_000


def main() -> None:
    """Measure, print the result in one line, and exit with 1 if claims or the list are slow."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--ended", type=int, default=200_000)
    parser.add_argument("--claims", type=int, default=1000)
    arguments = parser.parse_args()
    claim_seconds, list_seconds = age(arguments.database, arguments.ended, arguments.claims)
    raise SystemExit(claim_seconds > MAX_CLAIM_SECONDS or list_seconds > MAX_LIST_SECONDS)


def age(kind: str, ended: int, count: int) -> tuple[float, float]:
    """Return the 99th percentiles, in seconds, of a claim and of the list's first page."""
    with ProgressLines(f"age on {kind}", ended, "ended experiments") as progress, database_of(kind) as database:
        for first in range(0, ended, ROWS_PER_INSERT):
            _insert_ended(database, first, min(ROWS_PER_INSERT, ended - first))
            progress.done = min(first + ROWS_PER_INSERT, ended)
        progress.doing = f"{count} claims, then the list"
        with database.reader.connect() as left_open:
            if kind == "postgresql":
                # Without this, the server would end the transaction of one of our connections.
                left_open.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
                left_open.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            left_open.execute(text("SELECT count(*) FROM experiments")).scalar()
            claim_times = sorted(_claim_times(database, count))
            list_times = sorted(_list_times(database))
    p99 = [times[int(0.99 * len(times))] for times in (claim_times, list_times)]
    print(
        f"age on {kind}: {ended} ended experiments of {GROUPS} groups, an open transaction; claim median "
        f"{1000 * claim_times[count // 2]:.1f} ms, p99 {1000 * p99[0]:.1f} ms of {count}; the list's first page median "
        f"{1000 * list_times[len(list_times) // 2]:.1f} ms, p99 {1000 * p99[1]:.1f} ms",
        flush=True,
    )
    return p99[0], p99[1]


def _insert_ended(database, first, count):
    spec = ExperimentSpec(dataset="digits")
    columns = {
        "created_at": 1.0, "spec": spec.model_dump(mode="json"), "normalization": "none", "dataset": "digits",
        "seed": 0, "priority": 0, "attempt": 1, "attempts_before_retry": 0, "epochs_done": 1, "epochs_total": 1,
        "step": 9,
        "started_at": 2.0, "ended_at": 3.0,
    }  # fmt: skip
    indices = range(first, first + count)
    with database.writing.begin() as session:
        if first == 0:
            names = [{"name": f"g{number}", "claimed_at": float(number)} for number in range(1, GROUPS)]
            session.execute(insert(GroupRow), names)
        session.execute(
            insert(Experiment),
            [
                columns
                | {
                    "status": STATUSES[index % len(STATUSES)],
                    "queue_group": f"g{index % GROUPS}" * bool(index % GROUPS),
                }
                for index in indices
            ],
        )
        session.execute(
            insert(Attempt),
            [
                {"experiment_id": index + 1, "attempt": 1, "worker": "w", "claimed_at": 2.0, "ended_at": 3.0}
                | {"outcome": STATUSES[index % len(STATUSES)]}
                for index in indices
            ],
        )


def _claim_times(database, count):
    """Yield the seconds of each claim, as a worker does it: check for work, then claim. Then end the experiment."""
    for index in range(count):
        if index % 50 == 0:
            for number in range(50):
                enqueue(database, group=f"g{number}" if number else None)
        began = time.perf_counter()
        with database.reading() as session:
            assert claims.has_work(session) == (True, False)
        claim = claimed(database)
        yield time.perf_counter() - began
        do(database, claims.heartbeat, claim, step=1, lease_seconds=30)
        do(database, claims.succeed, claim)


def _list_times(database, count=200):
    """Return the seconds that each answer with the first page of the list took."""
    service = Service(database.url)

    async def measure():
        times = []
        async with Client(service.port) as client:
            for _ in range(count):
                began = time.perf_counter()
                status, page = await client.request("GET", "/experiments")
                times.append(time.perf_counter() - began)
                assert (status, len(json.loads(page)["experiments"])) == (200, 50)
        return times[5:]  # the first ones include imports

    try:
        return asyncio.run(measure())
    finally:
        service.kill()


if __name__ == "__main__":
    main()
