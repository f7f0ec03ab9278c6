"""The service process from its first line to its end."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.server import GRACE_SECONDS
from tests.experiments import enqueue

STOPS_WITHIN_SECONDS = GRACE_SECONDS + 4


@contextmanager
def serving(url, *words):
    """The process, and the port that it says it serves on."""
    with subprocess.Popen(
        [sys.executable, "-m", "service", "--port", "0", *words],
        env=os.environ | {"NORMLAB_DATABASE_URL": url}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            announced = process.stdout.readline()
            assert "serves on" in announced
            yield process, int(announced.rsplit(":", 1)[1])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("worker", [["--no-worker"], []], ids=["alone", "with a worker"])
def test_told_to_stop_as_soon_as_it_says_that_it_serves_it_stops(tmp_path, number, worker):
    with serving(f"sqlite:///{tmp_path / 'n.db'}", *worker) as (process, _):
        process.send_signal(number)
        assert process.wait(30) == 0


def test_it_stops_although_a_client_does_not_read_its_answers(sqlite):
    layers = [{"kind": "convolution", "channels": 1}] * 198
    network = [*layers, {"kind": "global_average_pool"}, {"kind": "linear", "features": 10}]
    for _ in range(200):
        enqueue(sqlite, network=network)
    with serving(sqlite.url, "--no-worker") as (process, port), socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /experiments?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
        client.settimeout(20)
        assert client.recv(8) == b"HTTP/1.1"
        time.sleep(1)
        process.terminate()
        assert process.wait(STOPS_WITHIN_SECONDS) == 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
def test_it_stops_although_a_drawing_process_is_frozen_and_tells_who_waits_for_the_figure(sqlite, recorded):
    location, _ = recorded
    with serving(sqlite.url, "--no-worker") as (process, port), ThreadPoolExecutor() as threads:
        figure = f"http://127.0.0.1:{port}{location}/plots/weight_gradient.png"
        asked = threads.submit(httpx.get, figure, timeout=30)
        while not (drawing := drawing_processes(process.pid)):
            time.sleep(0.01)
        for one in drawing:
            os.kill(one, signal.SIGSTOP)
        process.terminate()
        assert process.wait(STOPS_WITHIN_SECONDS) == 0
        answer = asked.result()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["detail"] == "the service stops; ask again when it is back"
        assert not any(Path("/proc", str(one)).exists() for one in drawing)


def drawing_processes(service):
    """Their ids."""
    children = [
        int(child)
        for thread in Path(f"/proc/{service}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
