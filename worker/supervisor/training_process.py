"""The training process as its supervisor sees it: start it, send it commands, receive its reports, end it."""

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
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from normlab.spec.lifecycle import StopReason
from normlab.store.claims import Claim
from normlab.store.gradient_checks import CheckClaim
from worker.messages import REPORTS, Abort, CheckGradients, Command, Report, Run, Stop

log = logging.getLogger(__name__)

# A thread that waits for another one sleeps. By default it spins for a while. If another process has the core of the
# thread that it waits for, it spins until that process stops, and a step of 4 ms took seconds. The variables are read
# when torch is imported: the first by GNU's OpenMP and LLVM's, the second by Intel's and LLVM's.
SLEEP_WHILE_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
ABORT_TIMEOUT_SECONDS = 2.5  # to write its stacks after an Abort, and again after SIGABRT


@dataclass(frozen=True)
class Died:
    """The training process has ended. exit_status: its exit code or signal, in words."""

    exit_status: str


class TrainingProcess:
    """A `python -m worker.run.child`, started at once. It ends with the process that started it.

    environment: variables added to this process's own. module: the module to run; tests run another one.

    Raises: OSError if the process cannot be started, for example because there is no memory.
    """

    def __init__(self, environment: Mapping[str, str], *, module: str = "worker.run.child") -> None:
        self._socket, childs_end = socket.socketpair()
        with childs_end:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module],
                    env=SLEEP_WHILE_WAITING | os.environ | dict(environment),
                    stdin=childs_end.fileno(),
                    stdout=2,  # what a library prints belongs in the log
                )
            except OSError:
                self._socket.close()
                raise
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="reports", daemon=True).start()

    def run(self, claim: Claim) -> None:
        """Have it run the claimed experiment."""
        self._send(Run(claim=claim))

    def check(self, claim: CheckClaim) -> None:
        """Have it take the claimed gradient check."""
        self._send(CheckGradients(claim=claim))

    def send_stop(self, reason: StopReason) -> None:
        """Have it stop the experiment after the current step."""
        self._send(Stop(reason=reason))

    def receive(self, timeout: float) -> Report | Died | None:
        """Return its next report, Died if it has ended, or None if no report comes within `timeout` seconds."""
        try:
            report = self._reports.get(timeout=timeout)
        except queue.Empty:
            return None
        return Died(exit_status=self._exit_status()) if report is None else report

    def has_died(self) -> bool:
        """Return whether it has ended. Reports that nobody waits for, such as a late progress report, are dropped."""
        while (report := self.receive(timeout=0)) is not None:
            if isinstance(report, Died):
                return True
        return False

    def abort(self) -> None:
        """End it, after the stacks of its threads have been written to the log.

        An Abort makes it write all of them. If extension code holds the interpreter's lock, the process cannot react
        to an Abort. SIGABRT makes it write the stack of its main thread only, because in a signal handler the frames
        of other threads may change while they are read.
        """
        self._send(Abort())
        for escalate in (partial(self._process.send_signal, signal.SIGABRT), self.kill):
            try:
                self._process.wait(ABORT_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                escalate()

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self._process.kill()
        self._process.wait()

    def _send(self, command: Command) -> None:
        with suppress(OSError):  # the process has ended, and receive() reports that
            self._socket.sendall(command.line())

    def _listen(self) -> None:
        try:
            # A process that ends before it has read every command resets the connection.
            with self._socket, self._socket.makefile("rb") as lines, suppress(ConnectionResetError):
                for line in lines:
                    self._reports.put(REPORTS.validate_json(line))
        except ValidationError as error:  # for example because the process was killed while it wrote a report
            log.warning("the training process sent a report that cannot be read: %s", error)
        finally:
            # The socket is closed now, so a process that is still alive ends.
            self._reports.put(None)

    def _exit_status(self) -> str:
        code = self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
