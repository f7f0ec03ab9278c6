"""The render pool: what it returns, what happens when a process is killed, and that no process is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.rendering.render_pool import RenderFailed, RenderPool, RenderQueueFull
from tests.experiments import until

pytestmark = pytest.mark.slow

needs_proc = pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")


def pid():
    return str(os.getpid()).encode()


def fail():
    raise ValueError("nothing to draw")


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(mark):
    """The first time only."""
    if not mark.exists():
        mark.touch()
        killed()
    return b"image"


def freeze(mark):
    mark.write_bytes(pid())
    os.kill(os.getpid(), signal.SIGSTOP)


def frozen_once(mark):
    """The first time only; the mark then holds the process's id."""
    if not mark.exists():
        freeze(mark)
    return b"image"


def killed_once_beside(frozen, mark):
    """As killed_once, but only after another process has frozen."""
    while not frozen.exists():
        time.sleep(0.01)
    time.sleep(0.2)
    return killed_once(mark)


def has_ended(process):
    """Whether a process of /proc has ended; a zombie has."""
    try:
        return "State:\tZ" in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def reads(figure):
    """What returns a figure without reading any records."""
    return lambda: figure


def rendered(*figures, **options):
    """What a pool returns or raises for each figure."""

    async def render_all():
        pool = RenderPool(**options)
        try:
            return await asyncio.gather(*(pool.render(reads(figure)) for figure in figures), return_exceptions=True)
        finally:
            pool.close()

    return asyncio.run(render_all())


class TestRender:
    def test_renders_in_another_process(self):
        """A figure is rendered in another process, and an exception there is raised here."""
        image, error = rendered(pid, fail)
        assert int(image) != os.getpid()
        assert isinstance(error, ValueError)

    def test_killed_process_renders_again(self, tmp_path):
        """If the process of a figure is killed, another process renders the figure."""
        assert rendered(partial(killed_once, tmp_path / "mark")) == [b"image"]

    def test_twice_killed_is_a_failure(self):
        """A figure whose process is killed twice has failed, and the pool renders others."""
        error, image = rendered(killed, pid)
        assert isinstance(error, RenderFailed)
        assert int(image)

    def test_too_long_is_a_failure(self):
        """A figure that takes longer than the time limit twice has failed."""
        (error,) = rendered(partial(time.sleep, 60), timeout_seconds=0.5)
        assert isinstance(error, RenderFailed)

    @needs_proc
    def test_frozen_process_is_replaced(self, tmp_path):
        """A frozen process is ended after its time limit and its figure rendered again, while others are not harmed."""
        frozen = tmp_path / "frozen"
        figures = partial(frozen_once, frozen), partial(killed_once_beside, frozen, tmp_path / "mark")
        assert rendered(*figures, pid, timeout_seconds=2.0)[:2] == [b"image", b"image"]
        until(lambda: has_ended(Path("/proc", frozen.read_text())), seconds=10)

    def test_idle_process_killed(self):
        """If an idle process is killed, later figures are rendered all the same."""

        async def render():
            pool = RenderPool()
            try:
                for _ in range(3):
                    os.kill(int(await pool.render(reads(pid))), signal.SIGKILL)
                    await asyncio.sleep(0.3)
                return await pool.render(reads(pid))
            finally:
                pool.close()

        assert int(asyncio.run(render())) != os.getpid()

    def test_closed_while_broken_pool_ends(self):
        """A figure is rendered although the pool is closed while its broken processes are ended."""
        ending, ended = threading.Event(), threading.Event()

        async def render():
            pool = RenderPool()
            broken = SimpleNamespace(active=False, stop=ending.set, join=ended.wait)
            pool._idle, pool._pools = [broken], [broken]
            figure = asyncio.create_task(pool.render(reads(pid)))
            await asyncio.to_thread(ending.wait)
            pool.close()
            ended.set()
            try:
                return await figure
            finally:
                pool.close()

        assert int(asyncio.run(render())) != os.getpid()

    def test_full_queue_is_refused(self):
        """A figure is refused at once if as many are waiting as may wait."""
        first, second, third = rendered(pid, pid, pid, max_waiting=2)
        assert first and second
        assert isinstance(third, RenderQueueFull)

    def test_slow_figures_keep_none_waiting(self):
        """Two figures that take too long do not keep all others waiting."""

        async def render():
            pool = RenderPool(slow_seconds=0.2)
            try:
                slow = [asyncio.create_task(pool.render(reads(partial(time.sleep, 200)))) for _ in range(2)]
                await asyncio.sleep(0)
                async with asyncio.timeout(100):
                    images = await asyncio.gather(*(pool.render(reads(pid)) for _ in range(48)))
                assert not any(figure.done() for figure in slow)
                return images
            finally:
                for figure in slow:
                    figure.cancel()
                pool.close()

        assert len(asyncio.run(render())) == 48

    def test_cancelled_figure_is_not_begun(self):
        """The records of a figure that is cancelled while it waits for its turn are not read."""
        read = []

        async def render():
            pool = RenderPool()
            try:
                working = [asyncio.create_task(pool.render(reads(partial(time.sleep, 200)))) for _ in range(2)]
                waiting = asyncio.create_task(pool.render(lambda: read.append("waiting") or pid))
                await asyncio.sleep(0.1)
                for figure in (waiting, *working):
                    figure.cancel()
                return await pool.render(lambda: read.append("next") or pid)
            finally:
                pool.close()

        assert int(asyncio.run(render()))
        assert read == ["next"]


SERVICE = """
import asyncio
from service.rendering.render_pool import RenderPool
from tests.service.rendering.test_render_pool import pid, reads
async def main():
    print((await RenderPool().render(reads(pid))).decode(), flush=True)
    await asyncio.sleep(100)
if __name__ == "__main__":
    asyncio.run(main())
"""


class TestClose:
    def test_closed_pool_renders_again(self):
        """A pool may be closed twice, and a figure requested after that starts new processes."""

        async def render_and_close():
            pool = RenderPool()
            for _ in range(2):
                assert await pool.render(reads(pid))
                pool.close()
                pool.close()

        asyncio.run(render_and_close())

    @needs_proc
    def test_frozen_process_is_ended(self, tmp_path):
        """Closing the pool ends even a frozen process, within seconds."""
        mark = tmp_path / "mark"

        async def freeze_and_close():
            pool = RenderPool()
            figure = asyncio.create_task(pool.render(reads(partial(freeze, mark))))
            while not (mark.exists() and mark.read_bytes()):
                await asyncio.sleep(0.05)
            figure.cancel()
            began = time.monotonic()
            pool.close()
            return time.monotonic() - began

        assert asyncio.run(freeze_and_close()) < 3
        assert has_ended(Path("/proc", mark.read_text()))

    @needs_proc
    def test_killed_service_leaves_no_process(self, tmp_path):
        """The processes of the pool end when their service is killed."""
        script = tmp_path / "script.py"
        script.write_text(SERVICE)
        environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
        with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as process:
            child = Path("/proc", str(int(process.stdout.readline())))
            assert not has_ended(child)
            process.kill()
        until(lambda: has_ended(child), seconds=10)
