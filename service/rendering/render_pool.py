"""The processes that render figures. Rendering occupies a core for a while, so it is not done in the service.

Each process has a pool of its own, so that one that is killed or exceeds its time harms no figure but its own.
"""

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from pebble import CONSTS, ProcessExpired, ProcessPool
from starlette.concurrency import run_in_threadpool

from normlab.process.logging import log_to_stderr
from normlab.process.parent_death import exit_without_parent
from normlab.process.scheduling import compute_in_batches
from service.rendering.turns import Turns

log = logging.getLogger(__name__)

Figure = Callable[[], bytes]  # picklable, as a partial of a function is, since another process calls it

PROCESSES = 2  # rendering is CPU-bound, and two cores are the least we plan for
MAX_WAITING = 50  # figures that are requested and not yet rendered
RENDER_TIMEOUT_SECONDS = 120.0  # of one attempt to render a figure; there are at most two
SLOW_SECONDS = 10.0  # after which a figure no longer keeps others waiting: the next one gets a further process
MAX_SLOW = 2  # figures that are rendered beside the others for that reason

# Between a SIGTERM and a SIGKILL to a process. The processes have nothing to finish; only a frozen one takes this long.
CONSTS.term_timeout = 0.5


class RenderQueueFull(Exception):
    """So many figures are waiting that another one would wait for minutes."""


class RenderFailed(Exception):
    """The process that rendered a figure was killed or exceeded its time, twice."""


class RenderPool:
    """The render processes of one service. They start with the first figures; one that ends is replaced."""

    def __init__(
        self, *, max_waiting: int = MAX_WAITING, timeout_seconds: float = RENDER_TIMEOUT_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:  # fmt: skip
        self._waiting, self._max_waiting, self._timeout_seconds = 0, max_waiting, timeout_seconds
        self._turns = Turns(PROCESSES, max_slow=MAX_SLOW, slow_seconds=slow_seconds)
        self._idle: list[ProcessPool] = []
        self._pools: list[ProcessPool] = []  # idle and rendering ones
        self._rendering: set[Future[bytes]] = set()

    async def render(self, read: Callable[[], Figure]) -> bytes:
        """Return what the figure returns that `read` returns, or raise what either raises.

        read: is called in a thread when the figure's turn has come, so that a waiting figure holds no records. The time
        limit is that of the rendering alone. Raises RenderQueueFull or RenderFailed.
        """
        if self._waiting >= self._max_waiting:
            raise RenderQueueFull
        self._waiting += 1
        try:
            async with self._turns.turn():
                figure = await run_in_threadpool(read)
                try:
                    return await self._render(figure)
                except RenderFailed:  # the system may have killed the process for memory that other processes used
                    return await self._render(figure)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the processes, even one that is rendering or frozen. A figure requested later starts new ones.

        So does one that is being rendered, in its second attempt.
        """
        pools, self._pools, self._idle = self._pools, [], []
        for pool in pools:
            pool.stop()  # type: ignore[no-untyped-call]
        for pool in pools:
            pool.join()
        for future in [future for future in self._rendering if not future.done()]:  # pebble leaves them unresolved
            future.set_exception(BrokenProcessPool("the pool was closed"))

    async def _render(self, figure: Figure) -> bytes:
        pool = self._idle_or_new()
        future = pool.schedule(figure, timeout=self._timeout_seconds)
        self._rendering.add(future)
        ended_well = False
        try:
            content = await asyncio.wrap_future(future)
            ended_well = True
            return content
        except (ProcessExpired, TimeoutError, BrokenProcessPool) as error:
            log.warning("a figure was not rendered: %s", error or type(error).__name__)
            raise RenderFailed from error
        except asyncio.CancelledError:
            raise
        except Exception:  # the figure's own
            ended_well = True
            raise
        finally:
            self._rendering.discard(future)
            if ended_well and pool in self._pools and len(self._idle) < PROCESSES:
                self._idle.append(pool)
            else:
                self._discard(pool)

    def _idle_or_new(self) -> ProcessPool:
        """Return a pool of one process: an idle one that works, or a new one."""
        while self._idle:
            if (pool := self._idle.pop()).active:
                return pool
            self._discard(pool)
        pool = ProcessPool(
            1, initializer=_begin, initargs=(os.getpid(),), context=multiprocessing.get_context("spawn")
        )  # fmt: skip
        self._pools.append(pool)
        return pool

    def _discard(self, pool: ProcessPool) -> None:
        """End a pool in a thread. One that `close` has ended is left alone, because pebble would close files twice."""
        if pool in self._pools:
            self._pools.remove(pool)
            threading.Thread(target=_end, args=(pool,)).start()


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _begin(parent: int) -> None:
    """Prepare a process: let requests run first, log as the service does, and end when the service ends."""
    compute_in_batches()
    log_to_stderr()
    logging.captureWarnings(True)
    exit_without_parent(parent)
