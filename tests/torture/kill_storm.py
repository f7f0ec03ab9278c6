"""`python -m tests.torture.kill_storm`: workers are killed and suspended at random while they train.

Every experiment must succeed exactly once, with the records and the last weights of an undisturbed run.
"""

import random
import signal
import threading
import time

from sqlalchemy import select

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.spec.lifecycle import Status
from normlab.store.models import Experiment
from tests.experiments import until
from tests.torture.workers import (
    VARIANTS,
    Worker,
    count_unfinished,
    database_of,
    enqueue_variant,
    outcomes,
    result_of,
    send_signal,
)

LEASE_SECONDS = 1.0
SETTINGS = {
    "lease_seconds": LEASE_SECONDS,
    "poll_interval_seconds": 0.1,
    "max_attempts": 10_000,
    "step_timeout_seconds": 60,
}
LONG_ENOUGH = {"epochs": 12}  # so that the workers have something to train most of the time
WORKERS = 3


def main() -> None:
    """Storm, print the result in one line, and exit with the number of experiments that differ."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--experiments", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    raise SystemExit(storm(arguments.database, arguments.faults, arguments.experiments, arguments.seed))


def storm(kind: str, faults: int, experiments: int, seed: int) -> int:
    """Return how many experiments differ from an undisturbed run."""
    began = time.monotonic()
    with ProgressLines(f"kill storm on {kind}", faults, "faults") as progress, database_of(kind) as database:
        progress.doing = "undisturbed run"
        undisturbed = _undisturbed(kind)
        indices = {enqueue_variant(database, index, **LONG_ENOUGH): index for index in range(experiments)}
        count = _storm(database, faults, random.Random(seed), indices, progress)
        expected = {number: undisturbed[index % len(VARIANTS)] for number, index in indices.items()}
        different = [number for number in indices if result_of(database, number) != expected[number]]
        print(
            f"kill storm on {kind}: {count} faults over {len(indices)} experiments in {time.monotonic() - began:.0f} "
            f"s; attempts {outcomes(database)}; {len(different)} lost, finished twice or different"
            + (": " if different else "")
            + ", ".join(map(str, different)),
            flush=True,
        )
    return len(different)


def _undisturbed(kind: str) -> list[tuple[object, ...]]:
    with database_of(kind) as database:
        numbers = [enqueue_variant(database, index, **LONG_ENOUGH) for index in range(len(VARIANTS))]
        worker = Worker(database, **SETTINGS)
        until(lambda: not count_unfinished(database), seconds=300)
        worker.end()
        return [result_of(database, number) for number in numbers]


def _storm(database, faults, rng, indices, progress):
    """Cause faults until all are caused and all experiments have ended. Return how many there were.

    If the experiments end before, more are queued.
    """
    workers, timers, count = [Worker(database, **SETTINGS) for _ in range(WORKERS)], [], 0
    try:
        while count_unfinished(database) or count < faults:
            if not count_unfinished(database):
                next_index = len(indices)
                indices[enqueue_variant(database, next_index, **LONG_ENOUGH)] = next_index
            progress.done, progress.doing = count, f"{count_unfinished(database)} experiments to finish"
            time.sleep(rng.uniform(0.1, 1.6))
            for index, worker in enumerate(workers):
                if not worker.is_alive():
                    workers[index] = Worker(database, **SETTINGS)
            if count < faults:
                # Workers that train are chosen more often than by chance, because a start takes far longer.
                training = [worker for worker in workers if _trains(database, worker)] if rng.random() < 0.7 else []
                count += _fault(rng.choice(training or workers), rng, timers)
    finally:
        for timer in timers:
            timer.join()
        for worker in workers:
            worker.end()
    return count


def _trains(database, worker):
    with database.reading() as session:
        running = select(Experiment).where(Experiment.status == Status.RUNNING)
        return session.scalar(select(running.where(Experiment.worker.contains(f":{worker.supervisor}:")).exists()))


def _fault(worker, rng, timers):
    """Kill or suspend the supervisor, its training process or both. Return 1 if one of them existed, else 0."""
    both = [worker.supervisor, worker.child]
    chosen = rng.choice([both, both[:1], both[1:]])
    if rng.random() < 0.7:
        killed = [pid for pid in chosen if send_signal(pid, signal.SIGKILL)]
        return int(bool(killed))
    suspended = [pid for pid in chosen if send_signal(pid, signal.SIGSTOP)]
    timer = threading.Timer(1.5 * LEASE_SECONDS, lambda: [send_signal(pid, signal.SIGCONT) for pid in suspended])
    timer.start()
    timers.append(timer)
    return int(bool(suspended))


if __name__ == "__main__":
    main()
