"""What the torture commands share of the service: its process, which can be killed, and clients."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


class Service:
    """A `python -m service --no-worker` on a port that stays the same when the service is killed and started again."""

    def __init__(self, url, **settings):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = os.environ | {"NORMLAB_DATABASE_URL": url}
        self._environment = environment | {f"NORMLAB_{name.upper()}": str(value) for name, value in settings.items()}
        self.start()

    def start(self):
        """Start the service and wait until it listens."""
        command = [sys.executable, "-m", "service", "--no-worker", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert "serves on" in self.process.stdout.readline()

    def kill(self):
        """Kill the service with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def is_alive(self):
        """Return whether the service runs."""
        return self.process.poll() is None

    def resident_bytes(self):
        """Return the resident memory of the service."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


class Client:
    """One HTTP connection that is kept open. It is plain, so that it needs little of the processor."""

    def __init__(self, port):
        self._port, self._streams = port, None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *raised):
        self.close()

    async def request(self, method, path, body=None, **headers):
        """Return the status and the body. Raise OSError or EOFError if the service ends before it has answered."""
        try:
            return await self._request(method, path, body, headers)
        except (OSError, EOFError):
            self.close()
            raise

    def close(self):
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _request(self, method, path, body, headers):
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(content)}"]
        if body is not None:
            lines.append("content-type: application/json")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(head.split(" ", 2)[1])
        length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
        response = await reader.readexactly(length)
        if "connection: close" in head:
            self.close()
        return status, response


async def request_until_answered(client, *arguments, seconds=60, **headers):
    """Repeat a request while the service is killed or answers 503. Return the status and the body."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with suppress(OSError, EOFError):
            status, response = await client.request(*arguments, **headers)
            if status != 503:
                return status, response
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{arguments} was not answered within {seconds} s")
