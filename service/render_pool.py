"""RenderPool in processes of its own: a figure takes a core for a while, and readers of numbers do not wait for it."""

import asyncio
import faulthandler
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from normlab.process.logging import log_to_stderr

PROCESSES = 2  # drawing is work for the processor; more at once would only wait for it
MAX_WAITING = 50  # figures asked for and not yet drawn
NICENESS = 15
RENDER_TIMEOUT_SECONDS = 120.0  # that one figure may take; its process ends itself then


class RenderQueueFull(Exception):
    """So many figures are asked for already that another would wait for minutes."""


class RenderPool:
    """One service's. Its processes start with the first figure, and again if one is killed."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0

    async def draw(self, figure: Callable[[], bytes]) -> bytes:
        """What the figure returns or raises; it must be picklable, as a partial of a function is.

        Raises RenderQueueFull, or BrokenProcessPool if the process was killed at it twice, or took too long.
        """
        if self._waiting >= MAX_WAITING:
            raise RenderQueueFull
        self._waiting += 1
        try:
            try:
                return await self._drawn(figure)
            except BrokenProcessPool:  # it may have been another figure's doing
                return await self._drawn(figure)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the processes, whatever they are at."""
        if self._pool is not None:
            _end(self._pool)
            self._pool = None  # an application may be begun again, and draw

    async def _drawn(self, figure: Callable[[], bytes]) -> bytes:
        pool = self._pool = self._pool or ProcessPoolExecutor(
            PROCESSES, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _in_time, figure, RENDER_TIMEOUT_SECONDS)
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
                _end(pool)
            raise


def _end(pool: ProcessPoolExecutor) -> None:
    """For good: the pool itself asks its processes to end, and waits for ever for one that is stopped and cannot."""
    processes = list(pool._processes.values())  # from Python 3.14 on this function is its kill_workers
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _in_time(figure: Callable[[], bytes], seconds: float) -> bytes:
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        return figure()
    finally:
        faulthandler.cancel_dump_traceback_later()


def _begin(parent: int) -> None:
    """In each process: give way to the service, and end with it."""
    os.nice(NICENESS)
    log_to_stderr()
    logging.captureWarnings(True)
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
