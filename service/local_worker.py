"""The worker that a service keeps beside it: started, started again if it dies, and stopped with the service."""

import logging
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from service.settings import ServiceSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0
STOP_TIMEOUT_SECONDS = 45.0  # more than it has with its training; who is killed loses its epoch, not its experiment


class LocalWorker:
    """While entered, one `python -m worker` runs; if the service is killed its stdin closes, and it stops by itself."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._environment = os.environ | {
            "NORMLAB_DATABASE_URL": settings.database_url,
            "NORMLAB_DATA_DIR": str(settings.data_dir),
        }
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="local worker")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._over.is_set():
            try:
                how = f"ended with code {self._run()}"
            except OSError as error:  # no memory for it at the moment, say
                how = f"could not be started: {error}"
            if not self._over.is_set():
                log.warning("the worker %s; another starts in %.0f s", how, pause)
            self._over.wait(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _run(self) -> int:
        """Run one until it ends or the service does; returns its exit code."""
        with subprocess.Popen(
            [sys.executable, "-m", "worker", "--stop-with-stdin"],
            env=self._environment,
            stdin=subprocess.PIPE,
            start_new_session=True,  # a ctrl-C in the terminal reaches the service, which then stops its worker
        ) as process:
            while process.poll() is None and not self._over.wait(0.2):
                pass
            if process.poll() is None:
                _stop(process)
        return process.returncode


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("the worker did not stop within %.0f s; it is killed", STOP_TIMEOUT_SECONDS)
        process.kill()
        process.wait()
