"""What a worker shows of its training: in a terminal a bar, in a log a line an epoch."""

import os
import pty
import re
import subprocess
import sys

from normlab.spec.experiment import ExperimentSpec
from normlab.store.database import Database
from normlab.store.schema import migrate
from tests.experiments import enqueue

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_in_a_terminal_of_80_columns_a_bar_shows_epoch_loss_accuracies_speed_and_time_left(tmp_path):
    url = f"sqlite:///{tmp_path / 'normlab.db'}"
    database = Database(url)
    migrate(database)
    enqueue(database, ExperimentSpec(dataset="digits", normalization="batch", train_size=200, epochs=4))
    database.close()

    screen = in_a_terminal([sys.executable, "-m", "worker"], until="succeeded", NORMLAB_DATABASE_URL=url)

    drawn = [
        line.rstrip() for line in screen.splitlines() if line.startswith(("experiment 1 (batch, digits)", "epoch "))
    ]
    assert re.fullmatch(r"experiment 1 \(batch, digits\) +━+ 0:00:00", drawn[-2])
    last = r"epoch 3/3 loss \d\.\d{3} train \d+\.\d% test \d+\.\d% [\d,]+ images/s +left"
    assert re.fullmatch(last, drawn[-1])
    assert max(map(len, drawn)) <= 80


def in_a_terminal(command, *, until, **environment):
    """What a process writes to a terminal of 80 columns, its control sequences left out; then it is told to stop."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stderr=theirs, env=os.environ | environment | {"COLUMNS": "80", "TERM": "xterm"}
    )
    os.close(theirs)
    seen = b""
    while until.encode() not in seen:
        seen += os.read(terminal, 65536)
    process.terminate()
    assert process.wait(60) == 0
    os.close(terminal)
    return CONTROL.sub("", seen.decode()).replace("\r", "\n")
