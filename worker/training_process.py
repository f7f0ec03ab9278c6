"""The supervisor's end of the line to its child: start it, tell it, hear from it, end it."""

import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from service.experiments.claims import Claim
from worker.orders import Order

log = logging.getLogger(__name__)

CHILD = "worker.child"
LAST_WORDS_SECONDS = 2.5  # to write its stacks when asked to, and as long again when made to


class TrainingProcess:
    """A `python -m worker.child`, started at once; it dies with the process that made it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._line, its_end = socket.socketpair()
        with its_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", CHILD],
                env=os.environ | dict(environment),
                stdin=its_end.fileno(),
                stdout=2,  # whatever a library prints is for the log
            )
        self._heard: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="child's words", daemon=True).start()

    @property
    def pid(self) -> int:
        """The child's."""
        return self._process.pid

    def run(self, held: Claim) -> None:
        """Have it train this."""
        self._say(run=[held.experiment_id, held.attempt])

    def tell(self, order: Order) -> None:
        """Have it stop what it trains, after the step at hand."""
        self._say(order=order)

    def hear(self, timeout: float) -> dict[str, Any]:
        """What it says next, nothing within the time; {"died": how} if it is gone."""
        try:
            message = self._heard.get(timeout=timeout)
        except queue.Empty:
            return {}
        return {"died": self._how_it_died()} if message is None else message

    def abort(self) -> None:
        """End it, and have the stacks of its threads in the log first.

        Asked, it writes them all. One that holds the interpreter's lock hears nothing: SIGABRT makes it write its main
        thread's alone, since in a signal handler the frames of other threads may move while they are read.
        """
        self._say(abort=True)
        for insist in (partial(self._process.send_signal, signal.SIGABRT), self.kill):
            try:
                self._process.wait(LAST_WORDS_SECONDS)
            except subprocess.TimeoutExpired:
                insist()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()

    def _say(self, **message: Any) -> None:
        with suppress(OSError):  # it died, which is heard
            self._line.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        with self._line, self._line.makefile("rb") as words, suppress(ConnectionResetError):  # if it left words unread
            for line in words:
                self._heard.put(json.loads(line))
        self._heard.put(None)

    def _how_it_died(self) -> str:
        code = self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
