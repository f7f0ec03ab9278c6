"""`python -m tests.torture.readers`: 200 clients read while two workers write and figures are rendered.

Each client keeps its connection and sends one request per second, as a page that follows an experiment does: for the
list, an experiment, its metrics, attempts, layers or histograms, chosen at random. Another client requests figures all
the time.
"""

import asyncio
import os
import random
import time
from pathlib import Path

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.spec.quantities import QUANTITIES
from tests.torture.services import Client, Service
from tests.torture.workers import Worker, database_of, enqueue_variant

MAX_SECONDS = 0.150  # of 99 answers in 100
MAX_WAL_BYTES = 64 << 20
EPOCHS = 30  # of the experiment that is read and rendered
ALL = list(QUANTITIES)
FIGURES = ("weight_gradient.png", "weight.gif", "summary.png", "accuracy.svg", "input_gradient.gif")


def main() -> None:
    """Read, print the result in one line, and exit with 1 if answers were slow or wrong, or the WAL grew."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    arguments = parser.parse_args()
    p99, errors, wal = read(arguments.readers, arguments.seconds)
    raise SystemExit(p99 > MAX_SECONDS or errors > 0 or wal > MAX_WAL_BYTES)


def read(readers: int, seconds: float) -> tuple[float, int, int]:
    """Return the 99th percentile of the answers' seconds, how many were not 200, and the largest size of the WAL."""
    with (
        ProgressLines("readers", doing=f"train {EPOCHS} epochs to read") as progress,
        database_of("sqlite") as database,
    ):
        number = enqueue_variant(
            database, 0, epochs=EPOCHS, capture_unit="epoch", capture_every=1, capture_quantities=ALL
        )
        for _ in range(2):
            enqueue_variant(database, 0, epochs=100_000)
        # Two trainings, a service and the clients share these cores, so each training has one thread.
        workers = [Worker(database, lease_seconds=30) for _ in range(2)]
        service = Service(database.url)
        try:
            times, errors, figures, wal = asyncio.run(_read(service, database, number, readers, seconds, progress))
        finally:
            service.kill()
            for worker in workers:
                worker.end()
    times.sort()
    p99 = times[int(0.99 * len(times))]
    print(
        f"readers: {len(times)} answers to {readers} readers in {seconds:.0f} s, 2 workers training, {figures} figures "
        f"rendered meanwhile: median {1000 * times[len(times) // 2]:.0f} ms, p99 {1000 * p99:.0f} ms, longest "
        f"{1000 * times[-1]:.0f} ms; {errors} errors; SQLite's WAL at most {wal / 2**20:.1f} MB; "
        f"{os.cpu_count()} cores",
        flush=True,
    )
    return p99, errors, wal


async def _read(service, database, number, readers, seconds, progress):
    """Return each answer's seconds, how many were wrong, how many figures were rendered, and the WAL's largest size."""
    await _until_succeeded(service, number)
    progress.doing = f"{readers} readers for {seconds:.0f} s"
    ends, times, errors, figures, wal = time.monotonic() + seconds, [], 0, 0, 0

    async def read_repeatedly(seed):
        nonlocal errors
        rng = random.Random(seed)
        await asyncio.sleep(rng.random())
        async with Client(service.port) as client:
            while time.monotonic() < ends:
                began = time.monotonic()
                status, _ = await client.request("GET", _random_path(rng, number))
                times.append(time.monotonic() - began)
                errors += status != 200
                await asyncio.sleep(max(0.0, began + 1 - time.monotonic()))

    async def render():
        nonlocal figures, errors
        async with Client(service.port) as client:
            while time.monotonic() < ends:
                name = FIGURES[figures % len(FIGURES)]
                status, _ = await client.request("GET", f"/experiments/{number}/plots/{name}")
                errors += status != 200
                figures += 1

    async def measure_wal():
        nonlocal wal
        path = Path(f"{database.writer.url.database}-wal")
        while time.monotonic() < ends:
            wal = max(wal, path.stat().st_size if path.exists() else 0)
            await asyncio.sleep(0.1)

    await asyncio.gather(measure_wal(), render(), *(read_repeatedly(seed) for seed in range(readers)))
    return times, errors, figures, wal


async def _until_succeeded(service, number):
    async with Client(service.port) as client:
        while b'"status":"succeeded"' not in (await client.request("GET", f"/experiments/{number}"))[1]:
            await asyncio.sleep(0.5)


def _random_path(rng, number):
    experiment = f"/experiments/{number}"
    epoch = rng.randrange(EPOCHS)
    return rng.choice(
        [
            "/experiments?limit=20", experiment, f"{experiment}/metrics", f"{experiment}/attempts",
            f"{experiment}/layers?quantity=weight_gradient&epoch={epoch}",
            f"{experiment}/histograms?quantity=weight_gradient&layer=1&epoch={epoch}",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
