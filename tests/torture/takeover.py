"""`python -m tests.torture.takeover`: supervisors are killed, and another worker takes over when the lease has expired.

The delay is measured by the database's clock, from the end of a lease to the next claim. There is always another worker
that is ready to claim. The workers' own clocks are wrong by up to an hour, ahead and behind. That must not matter: no
claim may come before the end of a lease.
"""

import signal
import time

from sqlalchemy import select

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.store.models import Attempt, WorkerRow
from tests.experiments import read
from tests.torture.workers import Worker, database_of, enqueue_variant, send_signal

LEASE_SECONDS = 1.0
SETTINGS = {"lease_seconds": LEASE_SECONDS, "poll_interval_seconds": 0.1, "max_attempts": 10_000}
OFFSETS = (3600, -3600, 1800)  # of three workers: one trains, one is ready to claim, one is starting
MAX_DELAY_SECONDS = 1.0  # from the end of a lease to the next claim, in 99 of 100 takeovers


def main() -> None:
    """Kill, print the result in one line, and exit with 1 if a takeover was early or late."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--kills", type=int, default=100)
    arguments = parser.parse_args()
    delays, unprovoked = take_over(arguments.database, arguments.kills)
    p99, early = delays[int(0.99 * (len(delays) - 1))], sum(delay < 0 for delay in delays)
    print(
        f"takeover on {arguments.database}: {len(delays)} kills, clocks an hour off; from the lease's end to the next "
        f"claim median {delays[len(delays) // 2]:.2f} s, p99 {p99:.2f} s, longest {delays[-1]:.2f} s; {early} early, "
        f"{unprovoked} taken from running workers",
        flush=True,
    )
    raise SystemExit(p99 > MAX_DELAY_SECONDS or early > 0 or unprovoked > 0)


def take_over(kind: str, kills: int) -> tuple[list[float], int]:
    """Return the sorted delays in seconds from a lease's end to the next claim, and how many claims were unprovoked."""
    with ProgressLines(f"takeover on {kind}", kills, "kills") as progress, database_of(kind) as database:
        number = enqueue_variant(database, 0, epochs=100_000)
        offsets = list(OFFSETS)
        workers = [Worker(database, clock_off_by=offset, **SETTINGS) for offset in offsets]
        delays = []
        try:
            while len(delays) < kills:
                holder = read(database, number).worker
                index = next((i for i, w in enumerate(workers) if holder and f":{w.supervisor}:" in holder), None)
                others = [] if index is None else workers[:index] + workers[index + 1 :]
                if not any(_is_ready(database, worker) for worker in others):
                    time.sleep(0.05)
                    continue
                send_signal(workers[index].supervisor, signal.SIGKILL)
                workers[index].end()
                lost = read(database, number)
                # The sign changes, so that no worker takes over from one whose clock is wrong in the same way.
                offsets[index] = -offsets[index]
                workers[index] = Worker(database, clock_off_by=offsets[index], **SETTINGS)
                if lost.worker != holder:  # just before the kill, it was taken over from a running worker
                    continue
                while (claimed_at := _claimed_at(database, number, lost.attempt + 1)) is None:
                    time.sleep(0.05)
                delays.append(claimed_at - lost.lease_expires_at)
                progress.done = len(delays)
        finally:
            for worker in workers:
                worker.end()
    return sorted(delays), lost.attempt - len(delays)


def _is_ready(database, worker):
    with database.reading() as session:
        ready = select(WorkerRow).where(
            WorkerRow.name.contains(f":{worker.supervisor}:"), WorkerRow.device.is_not(None)
        )
        return session.scalar(select(ready.exists()))


def _claimed_at(database, number, attempt):
    with database.reading() as session:
        return session.scalar(
            select(Attempt.claimed_at).where(Attempt.experiment_id == number, Attempt.attempt == attempt)
        )


if __name__ == "__main__":
    main()
