"""The render pool: what it returns, what happens when a process is killed, and that no process is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from service import render_pool
from service.render_pool import RenderPool, RenderQueueFull


def pid():
    return str(os.getpid()).encode()


def fail():
    raise ValueError("nothing to draw")


def draw_and_die(mark):
    """The first time only."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return b"drawn"


def freeze(mark):
    """The first time only; the mark then has the process."""
    if not mark.exists():
        mark.write_bytes(pid())
        os.kill(os.getpid(), signal.SIGSTOP)
    return b"drawn"


def draw_and_die_beside(frozen, mark):
    """As draw_and_die, once another process is frozen."""
    while not frozen.exists():
        time.sleep(0.01)
    time.sleep(0.2)
    return draw_and_die(mark)


def has_ended(process):
    """Of a folder in /proc; a zombie has, too."""
    try:
        return "State:\tZ" in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(happened, seconds=10):
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.1)


def answers(*figures):
    async def ask():
        made = RenderPool()
        try:
            return await asyncio.gather(*(made.draw(figure) for figure in figures), return_exceptions=True)
        finally:
            made.close()

    return asyncio.run(ask())


def test_it_draws_in_another_process_and_hands_on_what_is_raised_there():
    drawn, failed = answers(pid, fail)
    assert int(drawn) != os.getpid()
    assert isinstance(failed, ValueError)


def test_a_figure_whose_process_is_killed_is_drawn_again(tmp_path):
    assert answers(partial(draw_and_die, tmp_path / "mark")) == [b"drawn"]


def test_it_draws_again_after_it_was_closed_and_may_be_closed_twice():
    async def ask():
        made = RenderPool()
        for _ in range(2):
            assert await made.draw(pid)
            made.close()
            made.close()

    asyncio.run(ask())


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
def test_a_frozen_process_is_ended_when_another_is_killed_and_its_figure_drawn_again(tmp_path):
    frozen = tmp_path / "frozen"
    figures = partial(freeze, frozen), partial(draw_and_die_beside, frozen, tmp_path / "mark")
    assert answers(*figures, pid)[:2] == [b"drawn", b"drawn"]  # a third, for a pool overlooks the last process it began
    wait_until(lambda: has_ended(Path("/proc", frozen.read_text())))


def test_more_than_can_be_drawn_soon_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(render_pool, "MAX_WAITING", 2)
    first, second, third = answers(pid, pid, pid)
    assert first and second
    assert isinstance(third, RenderQueueFull)


SERVICE = """
import asyncio
from service.drawing import RenderPool
from tests.service.test_drawing import pid
async def main():
    print((await RenderPool().draw(pid)).decode(), flush=True)
    await asyncio.sleep(100)
if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
def test_its_processes_end_when_the_service_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SERVICE)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as process:
        drawer = Path("/proc", process.stdout.readline().strip())
        assert drawer.exists()
        process.kill()
    wait_until(lambda: has_ended(drawer))


def test_as_many_readers_as_there_are_connections_and_more_do_not_wait_for_each_other_for_ever(client, recorded):
    location, _ = recorded
    began = time.monotonic()
    with ThreadPoolExecutor(60) as threads:
        asked = [threads.submit(client.get, f"{location}/metrics") for _ in range(300)]
        assert {one.result().status_code for one in asked} == {200}
    assert time.monotonic() - began < 15
