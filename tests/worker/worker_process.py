"""A real worker: a supervisor process, its training process and its log."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

SMALL = {
    "dataset": "digits", "image_size": 16, "train_size": 80, "test_size": 40, "epochs": 3, "engine": "eager",
    "gradient_check": False, "capture_quantities": ["weight_gradient"],
}  # fmt: skip
ENDLESS = SMALL | {"epochs": 100_000}


@contextmanager
def worker_process(database, *arguments, **settings):
    """Start `python -m worker` on a SQLite database, with its log as `process.log`. Kill it in the end."""
    log = Path(database.writer.url.database).with_name(f"worker-{time.monotonic_ns()}.log")
    environment = os.environ | {"NORMLAB_DATABASE_URL": database.url, "OMP_NUM_THREADS": "1"}
    environment |= {f"NORMLAB_{name.upper()}": str(value) for name, value in settings.items()}
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "worker", *arguments], env=environment, stderr=out)
        process.log = log
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


def children(pid):
    """Return the process ids of a process's children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def is_alive(pid):
    """Return whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
