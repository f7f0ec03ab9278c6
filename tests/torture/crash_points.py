"""`python -m tests.torture.crash_points`: a worker is killed before, in and after each of its writes, and elsewhere.

Whatever the point, the experiment must end as one that nobody disturbed: the same state, the same records, the same
last weights, finished once.
"""

import argparse
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from normlab.store import claims, queue
from normlab.store.models import Experiment
from tests.torture.workers import Worker, came_of, can_write, database_of, enqueue, hurt

SETTINGS = {"lease_seconds": 1.0, "poll_interval_seconds": 0.1, "max_attempts": 100}
PATIENCE_SECONDS = 90.0
LANES = 2
PLACES = ("before", "inside", "after")
DIVERGES = {"learning_rate": 10.0, "init_std": 10.0, "box_cox_lambda": 9.0, "normalization": "box_cox"}
LONG = {"epochs": 20}  # so that it is not over before it is told
FIELDS = {"fail": DIVERGES, "store_gradient_check": {"gradient_check": True}} | dict.fromkeys(
    ("cancel", "pause", "release", "resume"), LONG
)

POINTS = [
    f"{verb}:{place}"
    for verb in (
        "requeue_stalled", "claim", "heartbeat", "start_attempt", "store_gradient_check", "record", "record#3",
        "succeed", "fail", "cancel", "pause", "release",
    )
    for place in PLACES
] + ["run_test:before", "run_test:after", "resume:after", "pack:before", "pack:after"]  # fmt: skip


def main() -> None:
    """Crash at every point, say what came of it in one line, and exit with 1 if it shows at any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("points", nargs="*", default=POINTS, metavar="POINT")
    arguments = parser.parse_args()
    raise SystemExit(len(crash(arguments.database, arguments.points)))


def crash(kind: str, points: list[str]) -> list[str]:
    """The points at which it showed. Two lanes at a time, of a database each: a worker's start is mostly imports."""
    began = time.monotonic()
    with ExitStack() as stack, ThreadPoolExecutor(LANES) as lanes:
        databases = [stack.enter_context(database_of(kind)) for _ in range(LANES)]
        of_each = lanes.map(_shows, databases, [points[lane::LANES] for lane in range(LANES)])
        shows = [point for lane in of_each for point in lane]
    print(
        f"crash points on {kind}: {len(points)} in {time.monotonic() - began:.0f} s; {len(shows)} show"
        + "".join(f", {point}" for point in shows),
        flush=True,
    )
    return shows


def _shows(database, points):
    """The points of one lane at which it showed."""
    shows = []
    with tempfile.TemporaryDirectory() as folder:
        standby = Worker(database, **SETTINGS)
        try:
            wanted = {}
            for point in points:
                name = point.partition(":")[0].partition("#")[0]
                fields = FIELDS.get(name, {})
                if (key := str(fields)) not in wanted:
                    number = enqueue(database, 0, **fields)
                    _until(lambda number=number: _status(database, number) in ("succeeded", "failed"))
                    wanted[key] = came_of(database, number)
                came = _crashed(database, standby, name, point, fields, Path(folder))
                same = came[0] == "cancelled" if name == "cancel" else came == wanted[key]
                if not same:
                    shows.append(point)
        finally:
            standby.end()
    return shows


def _crashed(database, standby, name, point, fields, folder):
    """What came of an experiment whose worker was killed at the point, and that the one standing by went on with."""
    crashed = folder / point
    _set_aside(standby, database)
    number = enqueue(database, 0, **fields)
    if name == "requeue_stalled":  # so that there is something to put back
        with database.writing.begin() as session:
            claims.claim(session, worker="dead", lease_seconds=-1.0)
    worker = Worker(database, crash_at=(point, crashed), **SETTINGS)
    try:
        if name in ("pause", "cancel", "release", "resume"):
            _until(lambda: _epochs(database, number) >= 1)
            if name == "release":
                hurt(worker.supervisor, signal.SIGTERM)
            elif name == "resume":
                hurt(worker.child, signal.SIGKILL)
            else:
                with database.writing.begin() as session:
                    getattr(queue, name)(session, number)
        _until(crashed.exists)
        hurt(standby.supervisor, signal.SIGCONT)
        while (status := _status(database, number)) in ("queued", "running", "paused"):
            if status == "paused":
                with database.writing.begin() as session:
                    queue.resume(session, number)
            time.sleep(0.05)
    finally:
        worker.end()
        hurt(standby.supervisor, signal.SIGCONT)
    return came_of(database, number)


def _set_aside(standby, database):
    """Stop it, but not within a write: on SQLite nobody could write until it goes on."""
    while True:
        hurt(standby.supervisor, signal.SIGSTOP)
        if can_write(database):
            return
        hurt(standby.supervisor, signal.SIGCONT)
        time.sleep(0.05)


def _status(database, number):
    with database.reading() as session:
        return session.get_one(Experiment, number).status


def _epochs(database, number):
    with database.reading() as session:
        return session.get_one(Experiment, number).epochs_done


def _until(true):
    ends = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError("the point was not reached")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
