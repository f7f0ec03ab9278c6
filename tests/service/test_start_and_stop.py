"""The service process from its first line to its end."""

import os
import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("worker", [["--no-worker"], []], ids=["alone", "with a worker"])
def test_told_to_stop_as_soon_as_it_says_that_it_serves_it_stops(tmp_path, number, worker):
    environment = os.environ | {"NORMLAB_DATABASE_URL": f"sqlite:///{tmp_path / 'n.db'}"}
    with subprocess.Popen(
        [sys.executable, "-m", "service", "--port", "0", *worker], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert "serves on" in process.stdout.readline()
        process.send_signal(number)
        process.wait(30)
