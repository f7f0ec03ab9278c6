"""What a worker shows of a training in a terminal."""

import os
import pty
import re
import subprocess
import sys

import pytest

from normlab.spec.experiment import ExperimentSpec
from normlab.store.database import Database
from normlab.store.schema import migrate
from tests.experiments import enqueue

pytestmark = pytest.mark.slow

CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_bar_fits_into_a_terminal_of_80_columns(tmp_path):
    """The bar shows epoch, loss, accuracies, speed and the time left, within 80 columns."""
    url = f"sqlite:///{tmp_path / 'normlab.db'}"
    database = Database(url)
    migrate(database)
    enqueue(database, ExperimentSpec(dataset="digits", normalization="batch", train_size=200, epochs=4))
    database.close()

    screen = terminal_output([sys.executable, "-m", "worker"], stop_after="succeeded", NORMLAB_DATABASE_URL=url)

    lines = [
        line.rstrip() for line in screen.splitlines() if line.startswith(("experiment 1 (batch, digits)", "epoch "))
    ]
    assert re.fullmatch(r"experiment 1 \(batch, digits\) +━+ 0:00:00", lines[-2])
    last = r"epoch 3 \(last: 3\) loss \d\.\d{3} train \d+\.\d% test \d+\.\d% [\d,]+ images/s +left"
    assert re.fullmatch(last, lines[-1])
    assert max(map(len, lines)) <= 80


def terminal_output(command, *, stop_after, **environment):
    """Run a command in a terminal of 80 columns, stop it after a word, and return its output without colours."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stderr=theirs, env=os.environ | environment | {"COLUMNS": "80", "TERM": "xterm"}
    )
    os.close(theirs)
    output = b""
    while stop_after.encode() not in output:
        output += os.read(ours, 65536)
    process.terminate()
    assert process.wait(60) == 0
    os.close(ours)
    return CONTROL_SEQUENCE.sub("", output.decode()).replace("\r", "\n")
