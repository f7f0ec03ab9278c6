"""`python -m benchmarks.shared_cores`: the demo alone, and beside eight processes that keep the cores busy.

The limit is 6 times the time alone; with four busy processes a core, 5 times is a fair part. It also measures a
training with one and two threads, each in a process of its own, alone and under the same load.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from worker.supervisor.training_process import SLEEP_WHILE_WAITING

BUSY = 8
LIMIT = 6.0  # times the time alone
STEP = """
import sys, time, torch
from pathlib import Path
from normlab.spec.experiment import ExperimentSpec
from worker import datasets
from worker.training.training import Training

torch.set_num_threads(int(sys.argv[1]))
data = datasets.load("digits", data_dir=Path(), image_size=32, train_size=400, test_size=20)
training = Training(ExperimentSpec(dataset="digits", normalization="batch"), data, torch.device("cpu"))
batch, began, steps = training.batches(0)[0], time.perf_counter(), 0
while time.perf_counter() - began < 10:
    training.engine(batch)
    steps += 1
print(round(20 * steps / (time.perf_counter() - began)))
"""


def main() -> None:
    """Measure, print, and exit 1 if the demo takes longer than the limit."""
    parser = CommandParser(description=main.__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="epochs of each training of the demo")
    epochs = parser.parse_args().epochs
    with ProgressLines("shared cores", doing="trainings alone and beside busy processes"):
        print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        for threads, spins in ((1, False), (2, False), (2, True)):
            alone = _images_per_second(threads, spins)
            with _busy_processes():
                beside = _images_per_second(threads, spins)
            waiting = "spin" if spins else "sleep"
            print(f"{threads} threads that {waiting}: {alone} images/s alone, {beside} beside {BUSY} busy processes",
                  flush=True)  # fmt: skip
        alone_seconds = _demo(epochs)
        print(f"the demo of {epochs} epochs alone: {alone_seconds:.0f} s", flush=True)
        with _busy_processes():
            seconds = _demo(epochs)
        ratio = seconds / alone_seconds
        print(f"the demo beside {BUSY} busy processes: {seconds:.0f} s, {ratio:.1f} times as long; limit {LIMIT:g}")
    sys.exit(ratio > LIMIT)


@contextmanager
def _busy_processes() -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _images_per_second(threads: int, spins: bool) -> int:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | ({} if spins else SLEEP_WHILE_WAITING)
    command = [sys.executable, "-c", STEP, str(threads)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def _demo(epochs: int) -> float:
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        command = [sys.executable, "-m", "service.demo", "--epochs", str(epochs), "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
