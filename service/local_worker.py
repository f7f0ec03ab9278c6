"""The local worker: one `python -m worker` beside the service, restarted when it ends, and stopped with the service.

It has as many workers as the settings say.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from service.settings import ServiceSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0  # before a restart; doubled each time
# More than the worker gives its training process to store a checkpoint. If it is killed, its experiment is requeued
# when the lease expires, and resumes from the previous checkpoint.
STOP_TIMEOUT_SECONDS = 45.0

FAILED, INVALID_SETTINGS = 1, 78  # exit codes: of any failure, and of `python -m worker --check`

StartProcess = Callable[..., "subprocess.Popen[bytes]"]


class LocalWorker:
    """A context manager that keeps one worker process running.

    If the service is killed, the standard input of the worker closes, and the worker stops.

    when_refused: called if the worker refuses its settings. It is not started again then, and `refusal` says why.
    start: starts the process, as subprocess.Popen does. Raises OSError if that fails, for example for lack of memory.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        when_refused: Callable[[], None] = lambda: None,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        start: StartProcess = subprocess.Popen,
    ) -> None:
        self._environment = os.environ | {
            "NORMLAB_DATABASE_URL": settings.database_url,
            "NORMLAB_DATA_DIR": str(settings.data_dir),
        }
        self._command = [sys.executable, "-m", "worker", "--stop-with-stdin", "--workers", str(settings.local_workers)]
        self._first_pause_seconds, self._start, self._when_refused = first_pause_seconds, start, when_refused
        self.refusal: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="local worker")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _keep_running(self) -> None:
        pause = self._first_pause_seconds
        while not self._stopping.is_set():
            try:
                code = self._run()
                end = f"ended with code {code}"
                if code == FAILED:
                    self.refusal = self._check_settings()
            except (OSError, subprocess.TimeoutExpired) as error:
                end = f"could not be started: {error}"
            if self.refusal is not None:
                self._when_refused()
                return
            if not self._stopping.is_set():
                log.warning("the local worker %s; it is restarted in %.0f s", end, pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _check_settings(self) -> str | None:
        """Return why a worker refuses its settings, or None if it failed for another reason."""
        checked = subprocess.run(
            [sys.executable, "-m", "worker", "--check"],
            env=self._environment, capture_output=True, text=True, timeout=STOP_TIMEOUT_SECONDS,
        )  # fmt: skip
        return checked.stdout.strip() if checked.returncode == INVALID_SETTINGS else None

    def _run(self) -> int:
        """Run one worker until it ends or the service stops, and return its exit code."""
        with self._start(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            start_new_session=True,  # a ctrl-C in the terminal reaches the service alone, which then stops the worker
        ) as process:
            while process.poll() is None and not self._stopping.wait(0.2):
                pass
            if process.poll() is None:
                _stop(process)
        return process.returncode


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("the local worker did not stop within %.0f s; it is killed", STOP_TIMEOUT_SECONDS)
        process.kill()
        process.wait()
