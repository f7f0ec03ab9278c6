"""`python -m tests.torture.posting`: clients post with idempotency keys, and the service is killed meanwhile.

Whoever is not answered posts again with the same key: there must be exactly one experiment a key, as answered.
"""

import argparse
import asyncio
import json
import time

from sqlalchemy import func, select

from normlab.store.models import Experiment, IdempotencyKeyRow
from tests.torture.services import Client, Service, persistently
from tests.torture.workers import database_of

FASTEST = {"sqlite": 300, "postgresql": 800}  # requests a second that there must be at least
BODY = {"dataset": "digits", "normalization": "batch", "epochs": 5}


def main() -> None:
    """Post, say what came of it in one line, and exit with 1 if anything is lost, doubled or slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    wrong, rate = post(arguments.database, arguments.requests, arguments.kills)
    raise SystemExit(wrong > 0 or rate < FASTEST[arguments.database])


def post(kind: str, requests: int, kills: int, clients: int = 64) -> tuple[int, float]:
    """How many keys have no experiment, several or another than was answered; and requests a second while it was up."""
    with database_of(kind) as database:
        service = Service(database.url)
        try:
            answered, seconds, down = asyncio.run(_post(service, requests, kills, clients))
        finally:
            service.kill()
        with database.reading() as session:
            stored = dict(session.execute(select(IdempotencyKeyRow.key, IdempotencyKeyRow.experiment_id)).all())
            count = session.scalar(select(func.count()).select_from(Experiment))
    wrong = sum(stored.get(key) != number for key, number in answered.items()) + abs(count - requests)
    rate = requests / (seconds - down)
    print(
        f"posting on {kind}: {requests} requests of {clients} clients, {kills} kills: {count} experiments, {wrong} "
        f"lost, doubled or other than answered; {rate:.0f} a second, {down:.1f} s that it was down not counted",
        flush=True,
    )
    return wrong, rate


async def _post(service, requests, kills, clients):
    """What was answered by key, how long it took, and how much of that nobody was there."""
    left, answered, down = list(range(requests)), {}, 0.0
    await _ready(service)

    async def client():
        async with Client(service.port) as mine:
            while left:
                key = f"key {left.pop()}"
                status, answer = await persistently(mine, "POST", "/experiments", BODY, idempotency_key=key)
                assert status == 201, answer
                answered[key] = json.loads(answer)["id"]

    async def kill():
        nonlocal down
        for time_to in range(1, kills + 1):
            while len(answered) < requests * time_to / (kills + 1):
                await asyncio.sleep(0.005)
            began = time.monotonic()
            service.kill()
            await asyncio.to_thread(service.start)
            await _ready(service)
            down += time.monotonic() - began

    began = time.monotonic()
    await asyncio.gather(kill(), *(client() for _ in range(clients)))
    return answered, time.monotonic() - began, down


async def _ready(service):
    async with Client(service.port) as client:
        await persistently(client, "GET", "/readyz")


if __name__ == "__main__":
    main()
