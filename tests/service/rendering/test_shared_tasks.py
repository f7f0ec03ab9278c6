"""Shared tasks: one task for one key, cancelled when nobody waits for it; and turns."""

import asyncio

import pytest

from service.rendering.shared_tasks import SharedTasks
from service.rendering.turns import Turns


class Work:
    """Work that waits until it may end, and counts what happens to it."""

    def __init__(self):
        self.begun = self.cancelled = 0
        self.may_end = asyncio.Event()

    async def __call__(self):
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.begun


async def begun(*coroutines):
    """Tasks of these coroutines, which have begun."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


class TestSharedTasks:
    def test_same_key_runs_once(self):
        """Twelve requests for one key share one task; a request after its end begins another."""

        async def main():
            shared, work = SharedTasks(), Work()
            tasks = await begun(*(shared.run("a", work) for _ in range(12)))
            (other,) = await begun(shared.run("b", work))
            assert work.begun == 2
            work.may_end.set()
            assert await asyncio.gather(*tasks, other) == [2] * 13
            assert await shared.run("a", work) == 3

        asyncio.run(main())

    def test_last_that_leaves_cancels_it(self):
        """The task continues while one request waits, and is cancelled when none does."""

        async def main():
            shared, work = SharedTasks(), Work()
            first, second = await begun(shared.run("a", work), shared.run("a", work))
            first.cancel()
            await asyncio.wait([first])
            assert (work.cancelled, second.done()) == (0, False)
            second.cancel()
            await asyncio.wait([second])
            (again,) = await begun(shared.run("a", work))
            assert (work.begun, work.cancelled) == (2, 1)
            work.may_end.set()
            assert await again == 2

        asyncio.run(main())

    def test_error_reaches_all(self):
        """Every request for a key gets the error of its task."""

        async def fail():
            await asyncio.sleep(0)
            raise ValueError("no figure")

        async def main():
            shared = SharedTasks()
            results = await asyncio.gather(*(shared.run("a", fail) for _ in range(3)), return_exceptions=True)
            assert [type(each) for each in results] == [ValueError] * 3

        asyncio.run(main())


class TestTurns:
    @pytest.mark.parametrize(("slow", "begins"), [(0, 1), (1, 2), (2, 3), (3, 3)])
    def test_slow_work_gives_its_turn(self, slow, begins):
        """Work that is slow lets the next begin, while fewer than the allowed number is slow."""

        async def main():
            turns, work = Turns(1, max_slow=2, slow_seconds=0.01), Work()

            async def take_turn():
                async with turns.turn():
                    await work()

            tasks = []
            for _ in range(slow + 1):
                tasks += await begun(take_turn())
                await asyncio.sleep(0.05 if slow else 0)
            assert work.begun == begins
            work.may_end.set()
            await asyncio.gather(*tasks)
            assert work.begun == slow + 1

        asyncio.run(main())
