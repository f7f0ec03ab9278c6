"""The service process from its start to its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from service.rendering.render_pool import PROCESSES
from service.server import GRACE_SECONDS
from tests.experiments import enqueue

pytestmark = pytest.mark.slow

STOPS_WITHIN_SECONDS = GRACE_SECONDS + 4


@contextmanager
def service_process(url, *words):
    """The process of a service, and its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "service", "--port", "0", *words],
        env=os.environ | {"NORMLAB_DATABASE_URL": url}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            first_line = process.stdout.readline()
            assert "serves on" in first_line
            yield process, int(first_line.rsplit(":", 1)[1])
        finally:
            process.kill()


def render_processes(service):
    """The ids of a service's render processes."""
    children = [
        int(child)
        for thread in Path(f"/proc/{service}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


class TestStart:
    """What the start makes and says."""

    def test_default_is_below_the_data_directory(self, tmp_path):
        """Without an address the database is in the data directory, wherever the service is started."""
        started, home = tmp_path / "started here", tmp_path / "home"
        started.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NORMLAB_")}
        environment |= {"XDG_DATA_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(
            [sys.executable, "-m", "service", "--port", "0", "--no-worker"],
            cwd=started, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert "serves on" in process.stdout.readline()
            process.terminate()
            absent, made = (json.loads(line)["event"] for line in process.stderr.read().splitlines()[:2])
        path = home / "normlab" / "normlab.db"
        assert absent == f"database {path} does not exist yet; this service makes it"
        assert made.startswith(f"database {path}: schema ")
        assert made.endswith(", 0 experiments")
        assert path.exists()
        assert list(started.iterdir()) == []


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("worker", [["--no-worker"], []], ids=["alone", "with a worker"])
    def test_signal_right_after_the_start(self, tmp_path, number, worker):
        """A service that gets a stop signal as soon as it serves stops with code 0."""
        with service_process(f"sqlite:///{tmp_path / 'n.db'}", *worker) as (process, _):
            process.send_signal(number)
            assert process.wait(30) == 0

    def test_client_that_does_not_read(self, sqlite):
        """A service stops in time although a client does not read its responses."""
        layers = [{"kind": "convolution", "channels": 1}] * 198
        network = [*layers, {"kind": "global_average_pool"}, {"kind": "linear", "features": 10}]
        for _ in range(200):
            enqueue(sqlite, network=network)
        with service_process(sqlite.url, "--no-worker") as (process, port), socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /experiments?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
            client.settimeout(20)
            assert client.recv(8) == b"HTTP/1.1"
            time.sleep(1)
            process.terminate()
            assert process.wait(STOPS_WITHIN_SECONDS) == 0

    @pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
    def test_frozen_render_process(self, sqlite, recorded):
        """A service stops in time although its render processes are frozen, and the client of the figure gets 503."""
        location, _ = recorded
        with service_process(sqlite.url, "--no-worker") as (process, port), ThreadPoolExecutor() as threads:
            figures = [f"http://127.0.0.1:{port}{location}/plots/{name}.png" for name in ("weight_gradient", "weight")]
            requests = [threads.submit(httpx2.get, figure, timeout=30) for figure in figures]
            while len(rendering := render_processes(process.pid)) < PROCESSES:
                time.sleep(0.01)
            for each in rendering:
                os.kill(each, signal.SIGSTOP)
            process.terminate()
            assert process.wait(STOPS_WITHIN_SECONDS) == 0
            for request in requests:
                response = request.result()
                assert (response.status_code, response.headers["retry-after"]) == (503, "5")
                assert response.json()["detail"] == "the service is stopping; try again when it has restarted"
            assert not any(Path("/proc", str(each)).exists() for each in rendering)
