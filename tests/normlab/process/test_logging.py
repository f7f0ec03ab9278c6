"""What a line of the log may hold."""

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

sys.stderr.isatty = lambda: {is_terminal}
log_to_stderr()
settings = DatabaseSettings.read()
try:
    connect(settings.database_url)
except ConnectionError:
    logging.exception("it failed with %s", settings)
"""

WITH_A_KEY = """
import logging, sys
from normlab.process.logging import log_to_stderr

sys.stderr.isatty = lambda: {is_terminal}
log_to_stderr()
logging.warning("refused: %s", "normlab_0a1b2c3d_hush-Hush_7, normlab_0a1b2c3d_hush")
"""


def log_of(code, is_terminal, **environment):
    """Run Python code in a process of its own and return what it logs."""
    command = [sys.executable, "-c", code.format(is_terminal=is_terminal)]
    process = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    return process.stderr


@pytest.mark.parametrize("is_terminal", [True, False])
class TestLog:
    """The log of a process, on a terminal and as JSON."""

    def test_traceback_holds_no_variables(self, is_terminal):
        """A traceback names the function that failed, and holds no variable's value."""
        log = log_of(FAILING, is_terminal, NORMLAB_DATABASE_URL="postgresql://lab:hush-hush@127.0.0.1/normlab")
        for part in ("it failed", "nobody is there", "connect"):
            assert part in log
        assert "hush" not in log

    def test_line_holds_no_key(self, is_terminal):
        """The secret of an API key is removed from a line, wherever it stands."""
        log = log_of(WITH_A_KEY, is_terminal)
        assert "normlab_0a1b2c3d_…, normlab_0a1b2c3d_…" in log
        assert "ush" not in log
