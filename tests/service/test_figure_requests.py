"""Requests for figures to a service process: at once, and from clients that close their connection."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.experiments import until
from tests.service.test_start_and_stop import render_processes, service_process

pytestmark = pytest.mark.slow


def rendered(port):
    """How many figures the service has rendered."""
    lines = httpx2.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("normlab_render_seconds_count"))


class TestAtOnce:
    def test_same_figure_is_rendered_once(self, sqlite, recorded):
        """A figure that twelve clients request at once is rendered once, and each gets it."""
        location, _ = recorded
        with service_process(sqlite.url, "--no-worker") as (_, port), ThreadPoolExecutor(12) as threads:
            figure = f"http://127.0.0.1:{port}{location}/plots/weight_gradient.gif"
            responses = list(threads.map(lambda _: httpx2.get(figure, timeout=60), range(12)))
            assert {response.status_code for response in responses} == {200}
            assert len({response.content for response in responses}) == 1
            assert rendered(port) == 1


class TestClosed:
    @pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
    def test_waiting_figure_is_not_rendered(self, sqlite, recorded):
        """A figure whose client closes the connection while it waits is not rendered."""
        location, _ = recorded
        with service_process(sqlite.url, "--no-worker") as (process, port), ThreadPoolExecutor() as threads:
            address = f"http://127.0.0.1:{port}{location}/plots"
            names = ("weight", "update", "weight_gradient")
            working = [threads.submit(httpx2.get, f"{address}/{name}.png", timeout=60) for name in names[:2]]
            until(lambda: len(render_processes(process.pid)) == 2)
            for each in render_processes(process.pid):
                os.kill(each, signal.SIGSTOP)
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(f"GET {location}/plots/{names[2]}.png HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                time.sleep(0.5)  # until it waits
            time.sleep(0.5)
            for each in render_processes(process.pid):
                os.kill(each, signal.SIGCONT)
            assert [request.result().status_code for request in working] == [200, 200]
            for name in names[:2]:  # so that the third figure, if it had been begun, would be rendered meanwhile
                assert httpx2.get(f"{address}/{name}.gif", timeout=60).status_code == 200
            assert rendered(port) == 4
