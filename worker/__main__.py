"""`python -m worker`: claim experiments and train them, one at a time, until told to stop."""

import argparse
import logging
import os
import platform
import signal
import sys
import threading
from typing import Any

from sqlalchemy.exc import DBAPIError

from service.experiments import queue
from service.experiments.database import Database
from service.experiments.schema import is_at_head
from worker.memory import keep_freed_memory
from worker.running import run
from worker.settings import WorkerSettings

log = logging.getLogger("worker")


def main() -> None:
    """Work until SIGTERM or SIGINT; the experiment at hand is given back to the queue after its step."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument(
        "--stop-with-stdin",
        action="store_true",
        help="stop when standard input closes, as it does when the parent dies",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)

    stop = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    if arguments.stop_with_stdin:
        threading.Thread(target=_await_end_of_stdin, args=[stop], daemon=True).start()

    keep_freed_memory()
    settings = WorkerSettings.read()
    database = Database(settings.database_url)
    try:
        work(database, settings, stop)
    finally:
        database.close()


def work(database: Database, settings: WorkerSettings, stop: threading.Event) -> None:
    """Claim and run, over and over; a database that is away or not migrated yet is waited for."""
    name = f"{platform.node()}:{os.getpid()}"
    ready = False
    while not stop.is_set():
        try:
            if not ready and not (ready := is_at_head(database.reader)):
                log.info("the database is not at the newest schema; waiting for `python -m migrations`")
                stop.wait(2)
                continue
            with database.writing.begin() as session:
                queue.requeue_stalled(session)
                held = queue.claim(session, worker=name, lease_seconds=settings.lease_seconds)
            if held is None:
                stop.wait(settings.poll_seconds)
            else:
                run(database, held, settings, stop)
        except DBAPIError as error:
            log.warning("the database did not answer: %s", error.orig)
            stop.wait(2)


def _await_end_of_stdin(stop: threading.Event) -> None:
    # Unbuffered: a buffered read would hold a lock that the interpreter wants at exit.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    main()
