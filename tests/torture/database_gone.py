"""`python -m tests.torture.database_gone`: PostgreSQL is killed and cut off while clients post and a worker trains.

No acknowledged post may be lost, and no experiment may differ from an undisturbed one. Soon after the server is back,
service and worker must work again. While it is away, the service must answer 503 with Retry-After, and never 500.
"""

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import func, select

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.spec.lifecycle import Status
from normlab.store.database import TIMEOUT_SECONDS, Database
from normlab.store.models import Attempt, Experiment, IdempotencyKeyRow, WorkerRow
from tests.experiments import until
from tests.torture.posting_clients import CLIENTS, PostingClients
from tests.torture.proxy import Proxy
from tests.torture.services import Service
from tests.torture.workers import (
    VARIANTS,
    Worker,
    enqueue_variant,
    migrated,
    postgresql_server,
    result_of,
    send_signal,
)

LEASE_SECONDS = 5.0
SETTINGS = {"lease_seconds": LEASE_SECONDS, "poll_interval_seconds": 0.1, "max_attempts": 10_000}
TRAINED_PRIORITY = 9  # of the experiments that are trained; the posted ones stay queued
STOCK = 4  # experiments that are queued or running at every fault
MAX_CUT_SECONDS = 20.0  # of the longest cut; the others are spread evenly below
MAX_RETURN_SECONDS = 5.0  # from the server's return to an answer, and to a write
TIMEOUT = 60.0  # seconds, for what must happen in the end
MAX_ANSWER_SECONDS = TIMEOUT_SECONDS + 1  # of a 503 while nothing passes: the timeout of a statement, and a margin


def main() -> None:
    """Disturb, print the result in one line, and exit with 1 if anything is lost, differs or takes too long."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    raise SystemExit(not disturb(arguments.kills, arguments.cuts, arguments.seed).is_right())


@dataclass(frozen=True)
class Outcome:
    """The result of all faults.

    lost: how many keys have no experiment, several, or another than answered. different: how many experiments differ
    from an undisturbed one. service_seconds, worker_seconds: the longest time from the server's return until clients
    and worker could write. answer_seconds: the longest answer. answers: how many answers had each status. mute: how
    many answers of 503 had no Retry-After.
    """

    lost: int
    different: int
    service_seconds: float
    worker_seconds: float
    answer_seconds: float
    answers: Counter
    mute: int

    def is_right(self):
        """Return whether nothing was lost or different, and all was within its bounds."""
        return (
            self.lost == self.different == self.mute == 0
            and set(self.answers) == {201, 503}
            and max(self.service_seconds, self.worker_seconds) <= MAX_RETURN_SECONDS
            and self.answer_seconds <= MAX_ANSWER_SECONDS
        )


def disturb(kills: int, cuts: int, seed: int = 0) -> Outcome:
    """Kill and cut off the database this many times, in random order."""
    began = time.monotonic()
    with (
        ProgressLines("database gone", kills + cuts, "faults") as progress,
        _postgresql() as (server, database),
        Proxy(server.get_postmaster_info().socket_path) as proxy,
    ):
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        service, worker = Service(url), Worker(Database(url), **SETTINGS)
        try:
            undisturbed = _train_undisturbed(database)
            clients = PostingClients(service.port, timeout_seconds=TIMEOUT)
            faults = _Faults(server, proxy, database, clients, random.Random(seed))
            asyncio.run(_run(faults, clients, kills, cuts, progress))
            _until_trained(database)
        finally:
            worker.end()
            service.kill()
        different = [
            number for number, index in faults.trained.items()
            if result_of(database, number) != undisturbed[index % len(VARIANTS)]
        ]  # fmt: skip
        outcome = Outcome(
            _count_lost(database, clients.answered, len(undisturbed) + len(faults.trained)), len(different),
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
    """Run a server, and connect to its migrated database by the server's own socket."""
    with (
        tempfile.TemporaryDirectory() as folder,
        postgresql_server(folder) as server,
        migrated(server.get_uri()) as database,
    ):
        yield server, database


def _train_undisturbed(database):
    """Return the result of each variant without a fault."""
    numbers = [enqueue_variant(database, index, priority=TRAINED_PRIORITY) for index in range(len(VARIANTS))]
    _until_trained(database)
    return [result_of(database, number) for number in numbers]


def _until_trained(database):
    until(lambda: _count_untrained(database) == 0, seconds=TIMEOUT)


def _count_untrained(database):
    """Return how many experiments are still to be trained. The posted ones, which have a key, are not trained."""
    untrained = select(func.count()).where(
        Experiment.status.in_((Status.QUEUED, Status.RUNNING)),
        Experiment.id.not_in(select(IdempotencyKeyRow.experiment_id)),
    )
    with database.reading() as session:
        return session.scalar(untrained)


def _count_lost(database, answered, others):
    with database.reading() as session:
        posted = select(IdempotencyKeyRow.key, IdempotencyKeyRow.experiment_id)
        stored = dict(session.execute(posted).all())
        count = session.scalar(select(func.count()).select_from(Experiment))
    return sum(stored.get(key) != number for key, number in answered.items()) + abs(count - len(answered) - others)


async def _run(faults, clients, kills, cuts, progress):
    async with asyncio.TaskGroup() as tasks:
        for index in range(CLIENTS):
            tasks.create_task(clients.post(index))
        await clients.all_acknowledged_since(0.0)
        cut_seconds = [MAX_CUT_SECONDS * number / cuts for number in range(1, cuts + 1)]
        for seconds in faults.rng.sample([*cut_seconds, *[None] * kills], kills + cuts):
            await faults.cause(seconds)
            progress.done += 1
        clients.are_done = True


class _Faults:
    """The faults of the database, and how long service and worker took to return after each."""

    def __init__(self, server, proxy, database, clients, rng):
        self._server, self._proxy, self._database, self._clients = server, proxy, database, clients
        self.rng = rng
        self.trained = {}  # the number of each experiment, and the index of its variant
        self.service_seconds, self.worker_seconds = [], []

    async def cause(self, cut_seconds):
        """Cut the connections for this long, or kill the server if it is None, and wait until both have returned."""
        await asyncio.to_thread(self._stock_up)
        await asyncio.sleep(self.rng.uniform(0.5, 2.0))
        returned = await (self._kill() if cut_seconds is None else self._cut(cut_seconds))
        async with asyncio.timeout(TIMEOUT):
            service, worker = await asyncio.gather(
                self._clients.all_acknowledged_since(returned),
                asyncio.to_thread(_time_when, lambda: _last_write(self._database) > returned),
            )
        self.service_seconds.append(service - returned)
        self.worker_seconds.append(worker - returned)

    def _stock_up(self):
        for index in range(len(self.trained), len(self.trained) + STOCK - _count_untrained(self._database)):
            self.trained[enqueue_variant(self._database, index, priority=TRAINED_PRIORITY)] = index

    async def _kill(self):
        await asyncio.to_thread(_kill, self._server.get_pid())
        await asyncio.sleep(self.rng.uniform(0.0, 3.0))
        returned, _ = await asyncio.gather(
            asyncio.to_thread(_time_when, lambda: _accepts(self._database.url)),
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
    """Kill the server and all its backends at one moment, so that none of them can finish anything."""
    send_signal(postmaster, signal.SIGSTOP)  # so that it starts no further backend
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    killed = [*map(int, children), postmaster]
    for pid in killed:
        send_signal(pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in killed), seconds=TIMEOUT)  # nor as a zombie


def _accepts(url):
    """Return whether the server accepts a connection at its own socket."""
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def _last_write(database):
    """Return when the worker last wrote anything, by the database's clock, which is the clock of this machine."""
    newest = func.greatest(
        select(func.max(WorkerRow.seen_at)).scalar_subquery(),
        select(func.max(Experiment.lease_expires_at) - LEASE_SECONDS).scalar_subquery(),
        select(func.max(Attempt.claimed_at)).scalar_subquery(),
        select(func.max(Attempt.ended_at)).scalar_subquery(),
    )
    with database.reading() as session:
        return session.scalar(select(newest))


def _time_when(condition):
    """Wait until the condition holds, and return the time."""
    until(condition, seconds=TIMEOUT)
    return time.time()


if __name__ == "__main__":
    main()
