"""A proxy for PostgreSQL's socket that can be cut: then it passes no byte and closes no connection."""

import asyncio
import threading
from contextlib import suppress


class Proxy:
    """A context manager. While it is entered, it listens on a free port of loopback, in its own thread."""

    def __init__(self, socket_path):
        self._socket_path = str(socket_path)
        self._is_open, self._writers = asyncio.Event(), set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self):
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.mend()
        return self

    def __exit__(self, *raised):
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self):
        """Pass nothing any more: no byte, no new connection, no end of a connection."""
        self._loop.call_soon_threadsafe(self._is_open.clear)

    def mend(self):
        """Pass what was held back, and all that follows."""
        self._loop.call_soon_threadsafe(self._is_open.set)

    async def _connect(self, *near):
        """Connect a client with the server, if the server accepts."""
        await self._is_open.wait()
        try:
            far = await asyncio.open_unix_connection(self._socket_path)
        except OSError:
            near[1].close()
            return
        await asyncio.gather(self._pass(near[0], far[1]), self._pass(far[0], near[1]))

    async def _pass(self, reader, writer):
        self._writers.add(writer)
        with suppress(OSError):
            while content := await reader.read(2**16):
                await self._is_open.wait()
                writer.write(content)
                await writer.drain()
        await self._is_open.wait()
        writer.close()
        self._writers.discard(writer)

    async def _end(self):
        self._server.close()
        self._is_open.set()
        while len(asyncio.all_tasks()) > 1:  # this task and those that still pass something
            for writer in self._writers:
                writer.close()
            await asyncio.sleep(0.01)

    def _run(self, coroutine):
        """Run a coroutine in the proxy's thread and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
