"""A service without a worker, with an allowed host and an allowed origin, shared by the tests of a file."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of the service."""
    folder = tmp_path_factory.mktemp("service")
    environment = os.environ | {
        "NORMLAB_DATABASE_URL": f"sqlite:///{folder / 'normlab.db'}",
        "NORMLAB_ALLOWED_HOSTS": '["Lab.example"]',
        "NORMLAB_ALLOWED_ORIGINS": '["https://notebook.example"]',
    }
    command = [sys.executable, "-m", "service", "--no-worker", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline().rsplit(":", 1)[1])
        process.terminate()
