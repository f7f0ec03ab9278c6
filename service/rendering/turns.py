"""Turns: a limit on what is done at once, by which slow work does not keep the next from its turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A few turns. Work that takes longer than slow_seconds gives its turn to the next and continues beside it.

    max_slow: how many may continue so. Further slow work keeps its turn.
    """

    def __init__(self, turns: int, *, max_slow: int, slow_seconds: float) -> None:
        self._turns, self._slow_turns = asyncio.Semaphore(turns), asyncio.Semaphore(max_slow)
        self._slow_seconds = slow_seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it for the block."""
        await self._turns.acquire()
        held = self._turns

        async def become_slow() -> None:
            nonlocal held
            await asyncio.sleep(self._slow_seconds)
            await self._slow_turns.acquire()
            self._turns.release()
            held = self._slow_turns

        becoming_slow = asyncio.create_task(become_slow())
        try:
            yield
        finally:
            becoming_slow.cancel()
            held.release()
