"""Keeping a claim alive while training: a thread that beats, and hears of a cancellation or of the claim's loss."""

import logging
import threading
import time
from types import TracebackType
from typing import Literal, Self

from sqlalchemy.exc import DBAPIError

from service.experiments import queue
from service.experiments.database import Database
from service.experiments.errors import ClaimLost
from service.experiments.queue import Claim

log = logging.getLogger(__name__)


class Heartbeat:
    """While entered, beats at a third of the lease or every second. Set `step`; read `verdict`."""

    def __init__(self, database: Database, held: Claim, lease_seconds: float) -> None:
        self.step = 0
        self.verdict: Literal["go on", "cancelled", "lost"] = "go on"
        self._database, self._held, self._lease_seconds = database, held, lease_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        heard = time.monotonic()
        while not self._over.wait(min(self._lease_seconds / 3, 1.0)):
            try:
                with self._database.writing.begin() as session:
                    if queue.heartbeat(session, self._held, step=self.step, lease_seconds=self._lease_seconds):
                        self.verdict = "cancelled"
                heard = time.monotonic()
            except ClaimLost:
                self.verdict = "lost"
                return
            except DBAPIError as error:
                log.warning("no heartbeat for experiment %d: %s", self._held.experiment_id, error.orig)
                if time.monotonic() - heard > self._lease_seconds:
                    self.verdict = "lost"
                    return
