"""A pool of processes that render figures. Rendering occupies a core for a while, so it is not done in the service."""

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from pebble import CONSTS, ProcessExpired, ProcessPool

from normlab.process.logging import log_to_stderr
from normlab.process.parent_death import exit_without_parent

log = logging.getLogger(__name__)

PROCESSES = 2  # rendering is CPU-bound, and two cores are the least we plan for
MAX_WAITING = 50  # figures that are requested and not yet rendered
RENDER_TIMEOUT_SECONDS = 120.0  # of one attempt to render a figure; there are at most two
NICENESS = 15  # of at most 19: a figure can wait, while requests and trainings on the same cores cannot

# Between a SIGTERM and a SIGKILL to a process. The processes have nothing to finish; only a frozen one takes this long.
CONSTS.term_timeout = 0.5


class RenderQueueFull(Exception):
    """So many figures are waiting that another one would wait for minutes."""


class RenderFailed(Exception):
    """The process that rendered a figure was killed or exceeded its time, twice."""


class RenderPool:
    """The render processes of one service. They start with the first figure; one that ends is replaced."""

    def __init__(self, *, max_waiting: int = MAX_WAITING, timeout_seconds: float = RENDER_TIMEOUT_SECONDS) -> None:
        self._pool: ProcessPool | None = None
        self._waiting, self._max_waiting, self._timeout_seconds = 0, max_waiting, timeout_seconds

    async def render(self, figure: Callable[[], bytes]) -> bytes:
        """Return what the figure returns, or raise what it raises. It must be picklable, as a partial of a function is.

        Raises RenderQueueFull or RenderFailed.
        """
        if self._waiting >= self._max_waiting:
            raise RenderQueueFull
        self._waiting += 1
        try:
            try:
                return await self._render(figure)
            except RenderFailed:  # the system may have killed the process for memory that other processes used
                return await self._render(figure)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the processes, even one that is rendering or frozen. A figure requested later starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            _end(pool)

    async def _render(self, figure: Callable[[], bytes]) -> bytes:
        pool = await self._running()
        try:
            return await asyncio.wrap_future(pool.schedule(figure, timeout=self._timeout_seconds))
        except (ProcessExpired, TimeoutError, BrokenProcessPool) as error:
            log.warning("a figure was not rendered: %s", error or type(error).__name__)
            raise RenderFailed from error

    async def _running(self) -> ProcessPool:
        """Return the pool, or a new one if there is none or its communication is broken."""
        if (pool := self._pool) is not None and not pool.active:
            self._pool = None
            await asyncio.to_thread(_end, pool)
        if self._pool is None:  # another figure may have started a new one meanwhile
            self._pool = ProcessPool(
                PROCESSES,
                initializer=_begin,
                initargs=(os.getpid(),),
                context=multiprocessing.get_context("spawn"),
            )
        return self._pool


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _begin(parent: int) -> None:
    """Prepare a process: lower its priority, log as the service does, and end when the service ends."""
    os.nice(NICENESS)
    log_to_stderr()
    logging.captureWarnings(True)
    exit_without_parent(parent)
