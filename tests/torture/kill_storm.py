"""`python -m tests.torture.kill_storm`: workers are killed and stopped at random while they train; nothing may show it.

Every experiment must end succeeded, once, with the records and the last weights of one that nobody disturbed.
"""

import argparse
import random
import signal
import threading
import time

from sqlalchemy import select

from normlab.store.models import Experiment
from tests.torture.workers import VARIANTS, Worker, attempts, came_of, database_of, enqueue, hurt, left

LEASE_SECONDS = 1.0
SETTINGS = {
    "lease_seconds": LEASE_SECONDS,
    "poll_interval_seconds": 0.1,
    "max_attempts": 10_000,
    "step_timeout_seconds": 60,
}
LONG_ENOUGH = {"epochs": 12}  # that workers seldom have nothing to train
WORKERS = 3


def main() -> None:
    """Storm, say what came of it in one line, and exit with 1 if anything shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--experiments", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    raise SystemExit(storm(arguments.database, arguments.faults, arguments.experiments, arguments.seed))


def storm(kind: str, faults: int, experiments: int, seed: int) -> int:
    """Returns how many experiments show that they were disturbed."""
    began = time.monotonic()
    with database_of(kind) as database:
        undisturbed = _undisturbed(kind)
        numbers = {enqueue(database, place, **LONG_ENOUGH): place for place in range(experiments)}
        done = _hurt_until_all_is_done(database, faults, random.Random(seed), numbers)
        wanted = {number: undisturbed[place % len(VARIANTS)] for number, place in numbers.items()}
        shows = [number for number in numbers if came_of(database, number) != wanted[number]]
        print(
            f"kill storm on {kind}: {done} faults over {len(numbers)} experiments in {time.monotonic() - began:.0f} s; "
            f"attempts {attempts(database)}; {len(shows)} lost, finished twice or different{': ' if shows else ''}"
            + ", ".join(map(str, shows)),
            flush=True,
        )
    return len(shows)


def _undisturbed(kind: str) -> list[tuple[object, ...]]:
    with database_of(kind) as database:
        numbers = [enqueue(database, place, **LONG_ENOUGH) for place in range(len(VARIANTS))]
        worker = Worker(database, **SETTINGS)
        while left(database):
            time.sleep(0.1)
        worker.end()
        return [came_of(database, number) for number in numbers]


def _hurt_until_all_is_done(database, faults, chance, numbers):
    """Returns how many faults there were; more experiments are queued if they end before the faults do."""
    workers, timers, done = [Worker(database, **SETTINGS) for _ in range(WORKERS)], [], 0
    try:
        while left(database) or done < faults:
            if not left(database):
                place = len(numbers)
                numbers[enqueue(database, place, **LONG_ENOUGH)] = place
            time.sleep(chance.uniform(0.1, 1.6))
            for place, worker in enumerate(workers):
                if not worker.is_alive():
                    workers[place] = Worker(database, **SETTINGS)
            if done < faults:
                # At any moment, but more often while it trains than chance would have it: to start takes far longer.
                training = [worker for worker in workers if _trains(database, worker)] if chance.random() < 0.7 else []
                done += _fault(chance.choice(training or workers), chance, timers)
    finally:
        for timer in timers:
            timer.join()
        for worker in workers:
            worker.end()
    return done


def _trains(database, worker):
    with database.reading() as session:
        running = select(Experiment).where(Experiment.status == "running")
        return session.scalar(select(running.where(Experiment.worker.contains(f":{worker.supervisor}:")).exists()))


def _fault(worker, chance, timers):
    """One fault; returns 1 if somebody was there to be hurt."""
    both = [worker.supervisor, worker.child]
    hit = chance.choice([both, both[:1], both[1:]])
    if chance.random() < 0.7:
        killed = [pid for pid in hit if hurt(pid, signal.SIGKILL)]
        return int(bool(killed))
    stopped = [pid for pid in hit if hurt(pid, signal.SIGSTOP)]
    timer = threading.Timer(1.5 * LEASE_SECONDS, lambda: [hurt(pid, signal.SIGCONT) for pid in stopped])
    timer.start()
    timers.append(timer)
    return int(bool(stopped))


if __name__ == "__main__":
    main()
