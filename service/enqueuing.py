"""Posts that come at the same moment share a transaction: the disk is waited for once, not once for each."""

import asyncio

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from service.experiments import queue
from service.experiments.database import AWAY, collided
from service.experiments.errors import KeyReused
from service.experiments.models import Experiment
from service.experiments.queue import Order

MOST_AT_ONCE = 200


class Enqueuing:
    """One service's. What is posted while a transaction is written goes into the next one."""

    def __init__(self, writing: sessionmaker[Session]) -> None:
        self._writing = writing
        self._waiting: list[tuple[Order, asyncio.Future[Experiment]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def enqueue(self, order: Order) -> Experiment:
        """As queue.enqueue, once it is committed. Raises KeyReused, or what the database raised."""
        future: asyncio.Future[Experiment] = asyncio.get_running_loop().create_future()
        self._waiting.append((order, future))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                try:
                    made = await run_in_threadpool(self._write, [order for order, _ in batch])
                except Exception as error:  # whoever waits is told
                    if isinstance(error, AWAY):
                        # The database is away: who came meanwhile has waited for that, and would wait as long again.
                        batch, self._waiting = batch + self._waiting, []
                    for _, future in batch:
                        _tell(future, error)
                else:
                    for (_, future), one in zip(batch, made, strict=True):
                        _tell(future, one)
        finally:
            self._at_work = None

    def _write(self, orders: list[Order]) -> list[Experiment | KeyReused]:
        for _ in orders:
            try:
                with self._writing.begin() as session:
                    return queue.enqueue_all(session, orders)
            except DBAPIError as error:  # a key came by another process at the same moment; now it can be read
                if not collided(error):
                    raise
        with self._writing.begin() as session:
            return queue.enqueue_all(session, orders)


def _tell(future: asyncio.Future[Experiment], result: Experiment | Exception) -> None:
    if future.cancelled():  # the client went away; its experiment is queued all the same
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
