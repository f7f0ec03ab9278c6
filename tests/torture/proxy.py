"""A proxy before PostgreSQL's socket that can be cut: no byte passes then, and nothing is closed."""

import asyncio
import threading
from contextlib import suppress


class Proxy:
    """Listens on a port of loopback, in a thread of its own, until it is left."""

    def __init__(self, socket_path):
        self._socket_path = str(socket_path)
        self._passing, self._writers = asyncio.Event(), set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self):
        self._thread.start()
        self._server = self._in_its_thread(asyncio.start_server(self._join, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.mend()
        return self

    def __exit__(self, *raised):
        self._in_its_thread(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self):
        """From now on nothing passes: no byte, no connection's beginning, no connection's end."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def mend(self):
        """What was held back passes, and whatever comes."""
        self._loop.call_soon_threadsafe(self._passing.set)

    async def _join(self, *near):
        """Both ways between who connects and the server, if one is there."""
        await self._passing.wait()
        try:
            far = await asyncio.open_unix_connection(self._socket_path)
        except OSError:
            near[1].close()
            return
        await asyncio.gather(self._pass_on(near[0], far[1]), self._pass_on(far[0], near[1]))

    async def _pass_on(self, reader, writer):
        self._writers.add(writer)
        with suppress(OSError):
            while some := await reader.read(2**16):
                await self._passing.wait()
                writer.write(some)
                await writer.drain()
        await self._passing.wait()
        writer.close()
        self._writers.discard(writer)

    async def _end(self):
        self._server.close()
        self._passing.set()
        while len(asyncio.all_tasks()) > 1:  # besides this one, as many as pass something on
            for writer in self._writers:
                writer.close()
            await asyncio.sleep(0.01)

    def _in_its_thread(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
