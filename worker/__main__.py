"""`python -m worker`: claim experiments and train them, until a signal stops it."""

import argparse
import logging
import os
import platform
import signal
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

from normlab.process.command_line import CommandParser
from normlab.process.logging import log_to_stderr
from normlab.process.machine import cores, gpus
from normlab.process.parent_death import when_stdin_closes
from normlab.store.database import DATABASE_ERRORS, Database, message_of
from normlab.store.database_summary import is_absent, summary
from worker.settings import WorkerSettings
from worker.supervisor.supervisor import StartProcess, Supervisor
from worker.supervisor.training_process import TrainingProcess

log = logging.getLogger(__name__)

INVALID_SETTINGS = 78  # the exit code EX_CONFIG of sysexits.h
SIGNAL_CHECK_SECONDS = 0.2  # between two checks for a signal


def main(*, start: StartProcess = TrainingProcess) -> None:
    """Work until SIGTERM or SIGINT. A running experiment then stops after its current step and is queued again.

    start: the function that starts a training process.
    """
    arguments = _parser().parse_args()
    if arguments.check:
        sys.exit(_check())
    log_to_stderr()

    stop, signals = threading.Event(), []

    def on_signal(number: int, frame: Any) -> None:
        # Do no more than append. A signal may interrupt this handler, and an event's lock would then wait for itself.
        signals.append(number)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    if arguments.stop_with_stdin:
        when_stdin_closes(stop.set)

    settings = WorkerSettings.read()
    database = Database(settings.database_url)
    _log_summary(database, settings)
    process_name = f"{platform.node()}:{os.getpid()}"
    supervisors = [
        Supervisor(database, settings, name=f"{process_name}:{index}", environment=environment, start=start)
        for index, environment in enumerate(_environments(arguments.workers))
    ]
    with ThreadPoolExecutor(arguments.workers) as threads:
        running = {threads.submit(supervisor.work, stop) for supervisor in supervisors}
        try:
            while running:
                # The kernel may deliver a signal to any thread. Python runs its handler in this thread, when this
                # thread runs again, so this thread must not wait for longer.
                ended, running = wait(running, timeout=SIGNAL_CHECK_SECONDS, return_when=FIRST_COMPLETED)
                if signals:
                    stop.set()
                for future in ended:
                    future.result()  # raises the exception of a supervisor that failed
        finally:
            stop.set()  # if one supervisor fails, all stop, so that the process manager restarts the whole command
    database.close()


def _log_summary(database: Database, settings: WorkerSettings) -> None:
    """Log which database this is. A worker makes none: it waits until one exists and is migrated."""
    try:
        level = logging.WARNING if is_absent(database) else logging.INFO
        log.log(level, "database %s", summary(database, default=settings.default_database))
    except DATABASE_ERRORS as error:
        log.warning("database %s does not answer yet: %s", database.location, message_of(error))


def _check() -> int:
    """Print what is wrong with the settings and return an exit code, 0 if nothing is."""
    try:
        WorkerSettings.read()
    except SystemExit as refusal:
        print(refusal.code)
        return INVALID_SETTINGS
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="python -m worker",
        description="Claim experiments from the queue and train them, until SIGTERM or SIGINT.",
        epilog="The settings are environment variables named NORMLAB_*, such as NORMLAB_DATABASE_URL.",
    )
    parser.add_argument(
        "--workers",
        type=_positive,
        default=1,
        metavar="N",
        help="train N experiments at the same time, each on an equal part of the cores and on one GPU (default: 1)",
    )
    parser.add_argument(
        "--stop-with-stdin",
        action="store_true",
        help="stop when standard input closes, which happens when the parent process ends",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"print what is wrong with the settings and exit, with code {INVALID_SETTINGS} if anything is",
    )
    return parser


def _environments(workers: int) -> list[dict[str, str]]:
    """Return the environment variables of each training process: an equal part of the cores, and one GPU in turn.

    Several processes that each use all cores slow each other down.
    """
    if workers == 1:
        return [{}]
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    visible = gpus()
    return [
        {"OMP_NUM_THREADS": threads} | ({"CUDA_VISIBLE_DEVICES": visible[index % len(visible)]} if visible else {})
        for index in range(workers)
    ]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


if __name__ == "__main__":
    main()
