"""What a log's line may hold."""

import os
import subprocess
import sys

import pytest

FAILING = """
import logging, sys
from normlab.process.logging import log_to_stderr
from normlab.process.settings import DatabaseSettings

def connect(address):
    raise ConnectionError("nobody is there")

sys.stderr.isatty = lambda: {watched}
log_to_stderr()
settings = DatabaseSettings.read()
try:
    connect(settings.database_url)
except ConnectionError:
    logging.exception("it failed with %s", settings)
"""


@pytest.mark.parametrize("watched", [True, False])
def test_a_traceback_in_the_log_says_where_it_failed_and_holds_no_variable(watched):
    environment = os.environ | {"NORMLAB_DATABASE_URL": "postgresql://lab:hush-hush@127.0.0.1/normlab"}
    command = [sys.executable, "-c", FAILING.format(watched=watched)]
    logged = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stderr
    for told in ("it failed", "nobody is there", "connect"):
        assert told in logged
    assert "hush" not in logged


@pytest.mark.parametrize("watched", [True, False])
def test_a_key_in_a_line_is_blacked_out_wherever_it_stands(watched):
    code = f"import logging, sys; sys.stderr.isatty = lambda: {watched};"
    code += "from normlab.process.logging import log_to_stderr; log_to_stderr();"
    code += "logging.warning('refused: %s', 'normlab_0a1b2c3d_hush-Hush_7, normlab_0a1b2c3d_hush')"
    logged = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stderr
    assert "normlab_0a1b2c3d_…, normlab_0a1b2c3d_…" in logged
    assert "ush" not in logged
