"""`python -m tests.torture.database_gone`: PostgreSQL is killed, and cut off, while clients post and a worker trains.

Nothing acknowledged may be lost, no experiment may show it, and service and worker must be back soon after it is. While
it is away the service says so: 503 with Retry-After, never 500.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psycopg
from sqlalchemy import func, select

from normlab.store.database import TIMEOUT_SECONDS, Database
from normlab.store.models import Attempt, Experiment, IdempotencyKeyRow, WorkerRow
from normlab.store.schema import migrate
from tests.torture.proxy import Proxy
from tests.torture.services import Service, persistently
from tests.torture.workers import RUNTIME, SMALL, VARIANTS, Worker, came_of, enqueue, hurt

LEASE_SECONDS = 5.0
SETTINGS = {"lease_seconds": LEASE_SECONDS, "poll_interval_seconds": 0.1, "max_attempts": 10_000}
CLIENTS = 6
PAUSE_SECONDS = 0.1  # of a client between two posts, which leaves the cores to the training
FIRST = 9  # the priority of what is trained; what is posted only waits
STOCK = 4  # experiments that are to be trained, at every fault
LONGEST_CUT_SECONDS = 20.0  # the others are spread evenly below
LONGEST_BACK_SECONDS = 5.0  # from the return of the server to an answer, and to a write
LONGEST_WAIT_SECONDS = 60.0  # for what must come at last
LONGEST_ANSWER_SECONDS = (
    TIMEOUT_SECONDS + 1
)  # of 503 while nothing passes: the timeout of a statement, and what else it takes


def main() -> None:
    """Disturb, say what came of it in one line, and exit with 1 if anything is lost, shows or takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    raise SystemExit(not disturb(arguments.kills, arguments.cuts, arguments.seed).is_right())


@dataclass(frozen=True)
class Outcome:
    """What came of it. lost: keys without an experiment, with several or another than was answered; different:
    experiments that show that they were disturbed; mute: answers of 503 without Retry-After.
    """

    lost: int
    different: int
    service_seconds: float
    worker_seconds: float
    answer_seconds: float
    answers: Counter
    mute: int

    def is_right(self):
        """Whether all is as it must be."""
        return (
            self.lost == self.different == self.mute == 0
            and set(self.answers) == {201, 503}
            and max(self.service_seconds, self.worker_seconds) <= LONGEST_BACK_SECONDS
            and self.answer_seconds <= LONGEST_ANSWER_SECONDS
        )


def disturb(kills: int, cuts: int, seed: int = 0) -> Outcome:
    """Kill and cut the database that often, in an order of chance."""
    began = time.monotonic()
    with _postgresql() as (server, database), Proxy(server.get_postmaster_info().socket_path) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        service, worker = Service(url), Worker(Database(url), **SETTINGS)
        try:
            undisturbed = _train_undisturbed(database)
            clients = _Clients(service.port)
            faults = _Faults(server, proxy, database, clients, random.Random(seed))
            asyncio.run(_run(faults, clients, kills, cuts))
            _await_the_end(database)
        finally:
            worker.end()
            service.kill()
        different = [
            number for number, place in faults.trained.items()
            if came_of(database, number) != undisturbed[place % len(VARIANTS)]
        ]  # fmt: skip
        outcome = Outcome(
            _lost(database, clients.answered, len(undisturbed) + len(faults.trained)), len(different),
            max(faults.service_seconds), max(faults.worker_seconds), clients.answer_seconds, clients.answers,
            clients.mute,
        )  # fmt: skip
    print(
        f"database gone: {kills} kills, {cuts} cuts in {time.monotonic() - began:.0f} s; {len(clients.answered)} posts "
        f"acknowledged, {outcome.lost} lost, doubled or other than answered; {outcome.different} of "
        f"{len(faults.trained)} experiments different{': ' if different else ''}{', '.join(map(str, different))}; "
        f"service back after at most {outcome.service_seconds:.2f} s, worker after {outcome.worker_seconds:.2f} s; "
        f"{outcome.answers[503]} answers of 503, {outcome.mute} without Retry-After, the longest after "
        f"{outcome.answer_seconds:.1f} s; {outcome.answers[500]} of 500",
        flush=True,
    )
    return outcome


@contextmanager
def _postgresql():
    """A server, and its database by the server's own socket, migrated."""
    os.environ.setdefault("XDG_RUNTIME_DIR", RUNTIME.name)  # the wheel asks for one and warns if there is none
    import pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pgserver.get_server(Path(folder, "postgres"))
        database = Database(server.get_uri())
        migrate(database)
        try:
            yield server, database
        finally:
            database.close()
            server.cleanup()


def _train_undisturbed(database):
    """What comes of each variant while nothing happens."""
    numbers = [enqueue(database, place, priority=FIRST) for place in range(len(VARIANTS))]
    _await_the_end(database)
    return [came_of(database, number) for number in numbers]


def _await_the_end(database):
    _until(lambda: _left(database) == 0)


def _left(database):
    """How many are still to be trained."""
    waiting = select(func.count()).where(
        Experiment.status.in_(("queued", "running")), Experiment.id.not_in(select(IdempotencyKeyRow.experiment_id))
    )
    with database.reading() as session:
        return session.scalar(waiting)


def _lost(database, answered, others):
    with database.reading() as session:
        posted = select(IdempotencyKeyRow.key, IdempotencyKeyRow.experiment_id)
        stored = dict(session.execute(posted).all())
        count = session.scalar(select(func.count()).select_from(Experiment))
    return sum(stored.get(key) != number for key, number in answered.items()) + abs(count - len(answered) - others)


async def _run(faults, clients, kills, cuts):
    async with asyncio.TaskGroup() as posting:
        for place in range(CLIENTS):
            posting.create_task(clients.post(place))
        await clients.heard_since(0.0)
        cut_seconds = [LONGEST_CUT_SECONDS * place / cuts for place in range(1, cuts + 1)]
        for seconds in faults.chance.sample([*cut_seconds, *[None] * kills], kills + cuts):
            await faults.commit(seconds)
        clients.are_done = True


class _Faults:
    """What is done to the database, and how long service and worker took to be back after each."""

    def __init__(self, server, proxy, database, clients, chance):
        self._server, self._proxy, self._database, self._clients = server, proxy, database, clients
        self.chance = chance
        self.trained = {}  # the experiments' numbers, and which of the small ones each is
        self.service_seconds, self.worker_seconds = [], []

    async def commit(self, cut_seconds):
        """One fault: a cut of this length, a kill if there is none; and see both come back."""
        await asyncio.to_thread(self._stock_up)
        await asyncio.sleep(self.chance.uniform(0.5, 2.0))
        returned = await (self._kill() if cut_seconds is None else self._cut(cut_seconds))
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            service, worker = await asyncio.gather(
                self._clients.heard_since(returned),
                asyncio.to_thread(_until, lambda: _written(self._database) > returned),
            )
        self.service_seconds.append(service - returned)
        self.worker_seconds.append(worker - returned)

    def _stock_up(self):
        for place in range(len(self.trained), len(self.trained) + STOCK - _left(self._database)):
            self.trained[enqueue(self._database, place, priority=FIRST)] = place

    async def _kill(self):
        await asyncio.to_thread(_kill, self._server.get_pid())
        await asyncio.sleep(self.chance.uniform(0.0, 3.0))
        returned, _ = await asyncio.gather(
            asyncio.to_thread(_until, lambda: _accepts(self._database.url)),
            asyncio.to_thread(self._server.ensure_postgres_running),
        )
        return returned

    async def _cut(self, seconds):
        self._proxy.cut()
        await asyncio.sleep(seconds)
        returned = time.time()
        self._proxy.mend()
        return returned


def _kill(postmaster):
    """With all its backends, at one moment: none has the time to tidy up."""
    hurt(postmaster, signal.SIGSTOP)  # it makes no more of them
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    killed = [*map(int, children), postmaster]
    for pid in killed:
        hurt(pid, signal.SIGKILL)
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in killed))  # nor is anybody's zombie


def _accepts(url):
    """Whether a connection is accepted, over the server's own socket."""
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def _written(database):
    """When the worker wrote something of its own last, by the database's clock, which is this machine's."""
    newest = func.greatest(
        select(func.max(WorkerRow.seen_at)).scalar_subquery(),
        select(func.max(Experiment.lease_expires_at) - LEASE_SECONDS).scalar_subquery(),
        select(func.max(Attempt.claimed_at)).scalar_subquery(),
        select(func.max(Attempt.ended_at)).scalar_subquery(),
    )
    with database.reading() as session:
        return session.scalar(select(newest))


def _until(is_so):
    """When it was seen to be so. Raises TimeoutError if it does not come to be."""
    ends = time.monotonic() + LONGEST_WAIT_SECONDS
    while not is_so():
        if time.monotonic() > ends:
            raise TimeoutError(f"what must come did not come in {LONGEST_WAIT_SECONDS:.0f} s")
        time.sleep(0.02)
    return time.time()


class _Clients:
    """Who post, each key until it is acknowledged, and what they were answered."""

    def __init__(self, port):
        self._port = port
        self._begun = [-1.0] * CLIENTS  # when each one's newest acknowledged post was sent for the first time
        self.answered = {}
        self.answers = Counter()
        self.mute, self.answer_seconds = 0, 0.0
        self.are_done = False

    async def post(self, place):
        """One client, until they are done."""
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}", timeout=LONGEST_WAIT_SECONDS
        ) as connection:
            client = _Client(connection, self)
            while not self.are_done:
                begun, key = time.time(), f"key {len(self.answered)} of {place}"
                status = 500
                while status == 500:  # that it was answered so is counted, and whoever posts would post again
                    status, answer = await persistently(client, "POST", "/experiments", SMALL, idempotency_key=key)
                assert status == 201, answer
                self.answered[key], self._begun[place] = json.loads(answer)["id"], begun
                await asyncio.sleep(PAUSE_SECONDS)

    async def heard_since(self, moment):
        """When every one of them has had a post acknowledged that it began after that."""
        while min(self._begun) < moment:
            await asyncio.sleep(0.01)
        return time.time()

    def note(self, response):
        """One answer."""
        self.answers[response.status_code] += 1
        self.mute += response.status_code == 503 and "retry-after" not in response.headers
        self.answer_seconds = max(self.answer_seconds, response.elapsed.total_seconds())


class _Client:
    """As services.Client is asked; what it is answered is noted, head and all."""

    def __init__(self, connection, clients):
        self._connection, self._clients = connection, clients

    async def ask(self, method, path, body=None, **headers):
        """The status and the body. Raises OSError when the service goes away before it has answered."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            response = await self._connection.request(method, path, json=body, headers=named)
        except httpx2.TransportError as gone:
            raise OSError(str(gone)) from gone
        self._clients.note(response)
        return response.status_code, response.content


if __name__ == "__main__":
    main()
