"""`python -m tests.torture.readers`: many read at once while two workers write and figures are drawn.

Each reader keeps its connection and asks once a second, as a page that follows an experiment does, at a moment of its
own: the list, one experiment, its metrics, its layers, its histograms, by turns. Another draws figures all the while.
"""

import argparse
import asyncio
import os
import random
import time
from pathlib import Path

from normlab.spec.quantities import QUANTITIES
from tests.torture.services import Client, Service
from tests.torture.workers import Worker, database_of, enqueue

SLOWEST_SECONDS = 0.150  # of 99 answers in 100
LARGEST_WAL_BYTES = 64 << 20
DONE_EPOCHS = 30  # of the experiment that is read and drawn
ALL = list(QUANTITIES)
DRAWN = ("weight_gradient.png", "weight.gif", "summary.png", "accuracy.svg", "input_gradient.gif")


def main() -> None:
    """Read, say what came of it in one line, and exit with 1 if it was slow, failed, or the WAL grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    arguments = parser.parse_args()
    p99, errors, wal = read(arguments.readers, arguments.seconds)
    raise SystemExit(p99 > SLOWEST_SECONDS or errors > 0 or wal > LARGEST_WAL_BYTES)


def read(readers: int, seconds: float) -> tuple[float, int, int]:
    """The 99th percentile of the answers' seconds, how many were no 200, and how large SQLite's WAL became."""
    with database_of("sqlite") as database:
        done = enqueue(database, 0, epochs=DONE_EPOCHS, capture_unit="epoch", capture_every=1, capture_quantities=ALL)
        for _ in range(2):
            enqueue(database, 0, epochs=100_000)
        # Two trainings, a service and two hundred clients on these cores: one thread each, as README tells several.
        workers = [Worker(database, lease_seconds=30) for _ in range(2)]
        service = Service(database.url)
        try:
            times, errors, drawn, wal = asyncio.run(_read(service, database, done, readers, seconds))
        finally:
            service.kill()
            for worker in workers:
                worker.end()
    times.sort()
    p99 = times[int(0.99 * len(times))]
    print(
        f"readers: {len(times)} answers to {readers} readers in {seconds:.0f} s, 2 workers training, {drawn} figures "
        f"drawn meanwhile: median {1000 * times[len(times) // 2]:.0f} ms, p99 {1000 * p99:.0f} ms, longest "
        f"{1000 * times[-1]:.0f} ms; {errors} errors; SQLite's WAL at most {wal / 2**20:.1f} MB; "
        f"{os.cpu_count()} cores",
        flush=True,
    )
    return p99, errors, wal


async def _read(service, database, done, readers, seconds):
    """The seconds each answer took, how many were wrong, how many figures were drawn, the WAL's largest size."""
    await _trained(service, done)
    ends, times, errors, drawn, wal = time.monotonic() + seconds, [], 0, 0, 0

    async def reader(place):
        nonlocal errors
        chance = random.Random(place)
        await asyncio.sleep(chance.random())
        async with Client(service.port) as client:
            while time.monotonic() < ends:
                began = time.monotonic()
                status, _ = await client.ask("GET", _address(chance, done))
                times.append(time.monotonic() - began)
                errors += status != 200
                await asyncio.sleep(max(0.0, began + 1 - time.monotonic()))

    async def draw():
        nonlocal drawn, errors
        async with Client(service.port) as client:
            while time.monotonic() < ends:
                status, _ = await client.ask("GET", f"/experiments/{done}/plots/{DRAWN[drawn % len(DRAWN)]}")
                errors += status != 200
                drawn += 1

    async def watch():
        nonlocal wal
        path = Path(f"{database.writer.url.database}-wal")
        while time.monotonic() < ends:
            wal = max(wal, path.stat().st_size if path.exists() else 0)
            await asyncio.sleep(0.1)

    await asyncio.gather(watch(), draw(), *(reader(place) for place in range(readers)))
    return times, errors, drawn, wal


async def _trained(service, done):
    async with Client(service.port) as client:
        while b'"status":"succeeded"' not in (await client.ask("GET", f"/experiments/{done}"))[1]:
            await asyncio.sleep(0.5)


def _address(chance, done):
    here = f"/experiments/{done}"
    epoch = chance.randrange(DONE_EPOCHS)
    return chance.choice(
        [
            "/experiments?limit=20", here, f"{here}/metrics", f"{here}/attempts",
            f"{here}/layers?quantity=weight_gradient&epoch={epoch}",
            f"{here}/histograms?quantity=weight_gradient&layer=1&epoch={epoch}",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
