"""`python -m tests.torture.crash_points`: a worker is killed before, in and after each write, and at other points.

At every point, the experiment must end as an undisturbed one: succeeded once, with the same records and last weights.
"""

import argparse
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from normlab.process.command_line import CommandParser, unknown
from normlab.process.progress import ProgressLines
from normlab.spec.lifecycle import Status
from normlab.store import queue
from tests.experiments import claimed, do, read, until
from tests.torture.workers import Worker, can_write, database_of, enqueue_variant, result_of, send_signal

SETTINGS = {"lease_seconds": 1.0, "poll_interval_seconds": 0.1, "max_attempts": 100}
TIMEOUT_SECONDS = 90.0  # until a point is reached, or an undisturbed experiment has ended
LANES = 2
MOMENTS = ("before", "inside", "after")
DIVERGING = {"learning_rate": 10.0, "init_std": 10.0, "box_cox_lambda": 9.0, "normalization": "box_cox"}
LONG = {"epochs": 20}  # so that it still runs when it is asked to stop
FIELDS = {"fail": DIVERGING, "store_gradient_check": {"gradient_check": True}} | dict.fromkeys(
    ("cancel", "pause", "release", "resume"), LONG
)

POINTS = [
    f"{verb}:{moment}"
    for verb in (
        "requeue_stalled", "claim", "heartbeat", "start_attempt", "store_gradient_check", "record", "record#3",
        "succeed", "fail", "cancel", "pause", "release",
    )
    for moment in MOMENTS
] + ["run_test:before", "run_test:after", "resume:after", "pack:before", "pack:after"]  # fmt: skip


def main() -> None:
    """Crash at every point, print the result in one line, and exit with the number of points with a difference."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("points", nargs="*", type=_point, default=POINTS, metavar="POINT", help="by default all")
    arguments = parser.parse_args()
    raise SystemExit(len(crash(arguments.database, arguments.points)))


def _point(text: str) -> str:
    if text not in POINTS:
        raise argparse.ArgumentTypeError(unknown("point", text, POINTS))
    return text


def crash(kind: str, points: list[str]) -> list[str]:
    """Return the points at which the result differs.

    Two lanes run at the same time, each on its own database, because the start of a worker is mostly imports.
    """
    began = time.monotonic()
    with (
        ExitStack() as stack,
        ThreadPoolExecutor(LANES) as threads,
        ProgressLines(f"crash points on {kind}", len(points), "points") as progress,
    ):
        databases = [stack.enter_context(database_of(kind)) for _ in range(LANES)]
        lanes = threads.map(_crash_lane, databases, [points[lane::LANES] for lane in range(LANES)], [progress] * LANES)
        different = [point for lane in lanes for point in lane]
    print(
        f"crash points on {kind}: {len(points)} in {time.monotonic() - began:.0f} s; {len(different)} show"
        + "".join(f", {point}" for point in different),
        flush=True,
    )
    return different


def _crash_lane(database, points, progress):
    """Return the points of one lane at which the result differs."""
    different = []
    with tempfile.TemporaryDirectory() as folder:
        standby = Worker(database, **SETTINGS)
        try:
            undisturbed = {}
            for point in points:
                name = point.partition(":")[0].partition("#")[0]
                fields = FIELDS.get(name, {})
                if (key := str(fields)) not in undisturbed:
                    number = enqueue_variant(database, 0, **fields)
                    until(lambda number=number: read(database, number).status.has_ended, seconds=TIMEOUT_SECONDS)
                    undisturbed[key] = result_of(database, number)
                result = _crash_at(database, standby, name, point, fields, Path(folder))
                is_equal = result[0] == Status.CANCELLED if name == "cancel" else result == undisturbed[key]
                if not is_equal:
                    different.append(point)
                progress.done += 1
        finally:
            standby.end()
    return different


def _crash_at(database, standby, name, point, fields, folder):
    """Return the result of an experiment whose worker is killed at the point, and which the standby worker resumes."""
    crashed = folder / point
    _suspend(standby, database)
    number = enqueue_variant(database, 0, **fields)
    if name == "requeue_stalled":  # it is called only if there is a stalled experiment
        claimed(database, worker="dead", lease_seconds=-1.0)
    worker = Worker(database, crash_at=(point, crashed), **SETTINGS)
    try:
        if name in ("pause", "cancel", "release", "resume"):
            until(lambda: read(database, number).epochs_done >= 1, seconds=TIMEOUT_SECONDS)
            if name == "release":
                send_signal(worker.supervisor, signal.SIGTERM)
            elif name == "resume":
                send_signal(worker.child, signal.SIGKILL)
            else:
                do(database, getattr(queue, name), number)
        until(crashed.exists, seconds=TIMEOUT_SECONDS)
        send_signal(standby.supervisor, signal.SIGCONT)
        while not (status := read(database, number).status).has_ended:
            if status == Status.PAUSED:
                do(database, queue.resume, number)
            time.sleep(0.05)
    finally:
        worker.end()
        send_signal(standby.supervisor, signal.SIGCONT)
    return result_of(database, number)


def _suspend(standby, database):
    """Suspend a worker, but not within a write: on SQLite no other process could write until it continues."""
    while True:
        send_signal(standby.supervisor, signal.SIGSTOP)
        if can_write(database):
            return
        send_signal(standby.supervisor, signal.SIGCONT)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
