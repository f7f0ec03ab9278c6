"""Posts that arrive at the same time share one transaction, so that they wait for the disk once, not once each."""

import asyncio
from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from normlab.store.database import TRANSIENT_ERRORS, is_conflict
from normlab.store.enqueue import Submission, enqueue_all
from normlab.store.errors import IdempotencyKeyReused
from normlab.store.models import Experiment

MAX_BATCH = 200


class EnqueueBatch:
    """The posts of one service. Those that arrive while a transaction is written go into the next one."""

    def __init__(self, writing: sessionmaker[Session]) -> None:
        self._writing = writing
        self._waiting: list[tuple[Submission, asyncio.Future[Experiment]]] = []
        self._task: asyncio.Task[None] | None = None

    async def enqueue(self, submission: Submission) -> Experiment:
        """Return the experiment once it is committed. Raises IdempotencyKeyReused, or what the database raised."""
        future: asyncio.Future[Experiment] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                try:
                    results = await run_in_threadpool(self._write, [submission for submission, _ in batch])
                except Exception as error:  # every request of the batch gets it
                    if isinstance(error, TRANSIENT_ERRORS):
                        # The database is unreachable. The requests behind the batch have waited too, and would wait
                        # again.
                        batch, self._waiting = batch + self._waiting, []
                    for _, future in batch:
                        _resolve(future, error)
                else:
                    for (_, future), result in zip(batch, results, strict=True):
                        _resolve(future, result)
        finally:
            self._task = None

    def _write(self, submissions: Sequence[Submission]) -> list[Experiment | IdempotencyKeyReused]:
        for _ in submissions:
            try:
                return self._transact(submissions)
            except DBAPIError as error:  # another process has just inserted one of the idempotency keys
                if not is_conflict(error):
                    raise
        return self._transact(submissions)

    def _transact(self, submissions: Sequence[Submission]) -> list[Experiment | IdempotencyKeyReused]:
        with self._writing.begin() as session:
            return enqueue_all(session, submissions)


def _resolve(future: asyncio.Future[Experiment], result: Experiment | Exception) -> None:
    if future.cancelled():  # the client has disconnected; its experiment is queued all the same
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
