"""Shared tasks: one task for all requests that ask for the same at once, and none for a client that has gone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

Result = TypeVar("Result")


class SharedTasks:
    """The running tasks, by key. A task is cancelled when nobody waits for it any more."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._waiting: dict[asyncio.Task[Any], int] = {}

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what the work returns, or raise what it raises. Work of a key that is running is not begun again."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            self._waiting[task] = 0
            task.add_done_callback(lambda task: self._forget(key, task))
        self._waiting[task] += 1
        try:
            result: Result = await asyncio.shield(task)
            return result
        finally:
            self._leave(key, task)

    def _leave(self, key: str, task: asyncio.Task[Any]) -> None:
        if task in self._waiting:
            self._waiting[task] -= 1
            if self._waiting[task] == 0:
                task.cancel()
                self._forget(key, task)

    def _forget(self, key: str, task: asyncio.Task[Any]) -> None:
        self._waiting.pop(task, None)
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if task.done() and not task.cancelled():
            task.exception()  # asyncio would log an error that nobody waited for


async def unless_closed(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work returns. If the client closes the connection, cancel the work and raise ClientDisconnect."""
    working, closed = asyncio.ensure_future(work), asyncio.ensure_future(_closed(request))
    try:
        await asyncio.wait((working, closed), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        closed.cancel()
        await asyncio.gather(working, closed, return_exceptions=True)


async def _closed(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
