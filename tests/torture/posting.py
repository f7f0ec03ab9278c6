"""`python -m tests.torture.posting`: clients post with idempotency keys while the service is killed.

A client that gets no answer posts again with the same key. In the end each key must have exactly one experiment, and it
must be the one in the answer.
"""

import asyncio
import json
import time

from sqlalchemy import func, select

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.store.models import Experiment, IdempotencyKeyRow
from tests.torture.services import Client, Service, request_until_answered
from tests.torture.workers import database_of

MIN_REQUESTS_PER_SECOND = {"sqlite": 300, "postgresql": 800}
BODY = {"dataset": "digits", "normalization": "batch", "epochs": 5}


def main() -> None:
    """Post, print the result in one line, and exit with 1 if an experiment is lost or doubled, or posting is slow."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    wrong, rate = post(arguments.database, arguments.requests, arguments.kills)
    raise SystemExit(wrong > 0 or rate < MIN_REQUESTS_PER_SECOND[arguments.database])


def post(kind: str, requests: int, kills: int, clients: int = 64) -> tuple[int, float]:
    """Return how many keys have no experiment, several, or another than answered; and requests per second of uptime."""
    with ProgressLines(f"posting on {kind}", requests, "requests") as progress, database_of(kind) as database:
        service = Service(database.url)
        try:
            answered, seconds, down_seconds = asyncio.run(_post(service, requests, kills, clients, progress))
        finally:
            service.kill()
        with database.reading() as session:
            stored = dict(session.execute(select(IdempotencyKeyRow.key, IdempotencyKeyRow.experiment_id)).all())
            count = session.scalar(select(func.count()).select_from(Experiment))
    wrong = sum(stored.get(key) != number for key, number in answered.items()) + abs(count - requests)
    rate = requests / (seconds - down_seconds)
    print(
        f"posting on {kind}: {requests} requests of {clients} clients, {kills} kills: {count} experiments, {wrong} "
        f"lost, doubled or other than answered; {rate:.0f} per second, {down_seconds:.1f} s of downtime not counted",
        flush=True,
    )
    return wrong, rate


async def _post(service, requests, kills, clients, progress):
    """Return the answers by key, how long all took, and how long the service was down."""
    left, answered, down_seconds = list(range(requests)), {}, 0.0
    await _until_ready(service)

    async def client():
        async with Client(service.port) as connection:
            while left:
                key = f"key {left.pop()}"
                status, response = await request_until_answered(
                    connection, "POST", "/experiments", BODY, idempotency_key=key
                )
                assert status == 201, response
                answered[key] = json.loads(response)["id"]
                progress.done = len(answered)

    async def kill():
        nonlocal down_seconds
        for number in range(1, kills + 1):
            while len(answered) < requests * number / (kills + 1):
                await asyncio.sleep(0.005)
            began = time.monotonic()
            service.kill()
            await asyncio.to_thread(service.start)
            await _until_ready(service)
            down_seconds += time.monotonic() - began

    began = time.monotonic()
    await asyncio.gather(kill(), *(client() for _ in range(clients)))
    return answered, time.monotonic() - began, down_seconds


async def _until_ready(service):
    async with Client(service.port) as client:
        await request_until_answered(client, "GET", "/readyz")


if __name__ == "__main__":
    main()
