"""`python -m worker`: claim experiments and train them, until told to stop."""

import argparse
import os
import platform
import signal
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from normlab.process.logging import log_to_stderr
from normlab.store.database import Database
from worker.settings import WorkerSettings
from worker.supervisor.supervisor import Supervisor

HEEDED_WITHIN_SECONDS = 0.2  # a signal


def main() -> None:
    """Work until SIGTERM or SIGINT; the experiment at hand is given back to the queue after its step."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="train N experiments at once; each on a GPU of its own"
    )
    parser.add_argument(
        "--stop-with-stdin",
        action="store_true",
        help="stop when standard input closes, as it does when the parent dies",
    )
    arguments = parser.parse_args()
    log_to_stderr()

    stop, told = threading.Event(), []

    def on_signal(number: int, frame: Any) -> None:
        told.append(number)  # and no more: it may interrupt itself, and an event's lock would wait for itself

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    if arguments.stop_with_stdin:
        threading.Thread(target=_await_end_of_stdin, args=[stop], daemon=True).start()

    settings = WorkerSettings.read()
    database = Database(settings.database_url)
    name = f"{platform.node()}:{os.getpid()}"
    with ThreadPoolExecutor(arguments.workers) as threads:
        working = {
            threads.submit(Supervisor(database, settings, name=f"{name}:{place}", environment=share).work, stop)
            for place, share in enumerate(_shares(arguments.workers))
        }
        try:
            while working:
                # The kernel may give a signal to any thread, and Python heeds it in this one, when it next runs.
                ended, working = wait(working, timeout=HEEDED_WITHIN_SECONDS, return_when=FIRST_COMPLETED)
                if told:
                    stop.set()
                for one in ended:
                    one.result()  # raises what it raised
        finally:
            stop.set()  # one that broke stops them all: whoever watches over this process starts it anew, whole
    database.close()


def _shares(workers: int) -> list[dict[str, str]]:
    """Of the machine, for each of several: some of the cores, lest they wait for each other, and a GPU in turn."""
    if workers == 1:
        return [{}]
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    there = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    gpus = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(there)))).split(",") if gpu]
    return [
        {"OMP_NUM_THREADS": threads} | ({"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {})
        for place in range(workers)
    ]


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return number


def _await_end_of_stdin(stop: threading.Event) -> None:
    # Unbuffered: a buffered read would hold a lock that the interpreter wants at exit.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    main()
