"""`python -m tests.torture.takeover`: supervisors are killed, and another takes over when the lease has run out.

There is always one that is up and looks. Measured by the database's clock: from a lease's end to the claim after it.
Workers' own clocks are wrong by an hour, ahead and behind, which must not matter: no claim comes before a lease's end.
"""

import argparse
import signal
import time

from sqlalchemy import select

from normlab.store.models import Attempt, Experiment, WorkerRow
from tests.torture.workers import Worker, database_of, enqueue, hurt

LEASE_SECONDS = 1.0
SETTINGS = {"lease_seconds": LEASE_SECONDS, "poll_interval_seconds": 0.1, "max_attempts": 10_000}
OFFSETS = (3600, -3600, 1800)  # one has it, one is up and looks, one is starting again
LONGEST_SECONDS = 1.0  # from a lease's end to the next claim, for 99 of 100


def main() -> None:
    """Kill, say what came of it in one line, and exit with 1 if a takeover was early or too late."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--kills", type=int, default=100)
    arguments = parser.parse_args()
    delays, unprovoked = take_over(arguments.database, arguments.kills)
    late, early = delays[int(0.99 * (len(delays) - 1))], sum(delay < 0 for delay in delays)
    print(
        f"takeover on {arguments.database}: {len(delays)} kills, clocks an hour off; from the lease's end to the next "
        f"claim median {delays[len(delays) // 2]:.2f} s, p99 {late:.2f} s, longest {delays[-1]:.2f} s; {early} early, "
        f"{unprovoked} taken from workers that lived",
        flush=True,
    )
    raise SystemExit(late > LONGEST_SECONDS or early > 0 or unprovoked > 0)


def take_over(kind: str, kills: int) -> tuple[list[float], int]:
    """Seconds from each lease's end to the next claim, in order of length; how many were taken from the living."""
    with database_of(kind) as database:
        number = enqueue(database, 0, epochs=100_000)
        offsets = list(OFFSETS)
        workers = [Worker(database, clock_off_by=offset, **SETTINGS) for offset in offsets]
        delays = []
        try:
            while len(delays) < kills:
                with database.reading() as session:
                    holder = session.get_one(Experiment, number).worker
                place = next((p for p, w in enumerate(workers) if holder and f":{w.supervisor}:" in holder), None)
                if place is None:
                    time.sleep(0.05)
                    continue
                if not any(_is_ready(database, worker) for worker in workers[:place] + workers[place + 1 :]):
                    time.sleep(0.05)  # nobody is up who could look
                    continue
                hurt(workers[place].supervisor, signal.SIGKILL)
                workers[place].end()
                with database.reading() as session:
                    lost = session.get_one(Experiment, number)
                    attempt, expires, held_by = lost.attempt, lost.lease_expires_at, lost.worker
                offsets[place] = -offsets[place]  # lest one that is as wrong as it was takes over from itself
                workers[place] = Worker(database, clock_off_by=offsets[place], **SETTINGS)
                if held_by != holder:  # it was taken from a worker that lived, at the last moment
                    continue
                while (claimed := _claimed_at(database, number, attempt + 1)) is None:
                    time.sleep(0.05)
                delays.append(claimed - expires)
        finally:
            for worker in workers:
                worker.end()
    return sorted(delays), attempt - len(delays)


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
