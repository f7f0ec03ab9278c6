"""`python -m worker.child`: trains what its supervisor names, one experiment after another, and dies with it.

The two speak in lines of JSON, both ways over the socket that is its standard input. To it go {"run": [experiment,
attempt]}, {"order": …} and {"abort": true}, which has it write its stacks and end; from it come {"device": …} once,
{"step": …, "of": [experiment, attempt]} while training, and at the end of each {"done": [experiment, attempt],
"refused_writes": 0 or 1, "spent": whether it is fit for no other}.
"""

import ctypes
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from service.experiments.claims import Claim
from service.experiments.database import Database
from service.experiments.logs import about, log_to_stderr
from worker.memory import keep_freed_memory
from worker.orders import Orders
from worker.settings import WorkerSettings

NICENESS = 15  # training gives way to its supervisor's beats and to a service on the same cores
REPORT_SECONDS = 0.2  # between two steps that the supervisor hears of
PR_SET_PDEATHSIG = 1  # from Linux' prctl.h


def main() -> None:
    """Run experiments until standard input closes, which is when the supervisor is gone: then at once."""
    _die_with_the_supervisor()
    for stop in (signal.SIGINT, signal.SIGTERM):  # a whole group's reach the supervisor too, and it says what to do
        signal.signal(stop, signal.SIG_IGN)
    faulthandler.enable(all_threads=False)  # see TrainingProcess.abort
    log_to_stderr()
    os.nice(NICENESS)
    keep_freed_memory()
    settings = WorkerSettings.read()
    database = Database(settings.database_url)
    line = _Line()
    # Only now: to import torch takes seconds, in which the supervisor may die.
    import torch

    torch.backends.cudnn.deterministic = True  # what is resumed is to end with the same bits

    from worker import device
    from worker.attending import is_left_behind
    from worker.running import run

    line.say(device=device.name(device.choose("auto")), threads=torch.get_num_threads())
    while True:
        held, orders = line.wanted.get()
        with about(experiment=held.experiment_id, attempt=held.attempt):
            kept = run(database, held, settings, orders)
        # Nothing more will be written for this claim. What its supervisor knew was lost, it has counted.
        refused = not kept and orders.order != "lost"
        line.say(done=[held.experiment_id, held.attempt], refused_writes=int(refused), spent=is_left_behind())


class _Line:
    """The child's end of the line."""

    def __init__(self) -> None:
        # Not as standard input: a compiler that this process starts would hold that too, and while it does the
        # supervisor does not hear that this process died.
        self._socket = os.dup(sys.stdin.fileno())
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, sys.stdin.fileno())
        os.close(nothing)
        self.wanted: queue.SimpleQueue[tuple[Claim, Orders]] = queue.SimpleQueue()
        self._current: tuple[list[int], Orders] = [], Orders()  # the claim, and what passes of it
        self._said: tuple[list[int], int] = [], 0
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        threading.Thread(target=self._report, name="steps", daemon=True).start()

    def say(self, **message: Any) -> None:
        """One line to the supervisor."""
        os.write(self._socket, json.dumps(message).encode() + b"\n")  # whole, whichever thread says it

    def _listen(self) -> None:
        rest = b""
        with suppress(ConnectionResetError):  # if it left words unread
            while some := os.read(self._socket, 4096):
                *lines, rest = (rest + some).split(b"\n")
                for line in lines:
                    self._heed(json.loads(line))
        os._exit(1)

    def _heed(self, message: dict[str, Any]) -> None:
        if "run" in message:
            self._current = message["run"], Orders()
            self.wanted.put((Claim(*message["run"]), self._current[1]))
        elif "abort" in message:
            faulthandler.dump_traceback()
            os._exit(1)
        else:
            self._current[1].order = message["order"]

    def _report(self) -> None:
        pause = threading.Event()
        while not pause.wait(REPORT_SECONDS):
            claim, orders = self._current
            if orders.step is not None and self._said != (claim, orders.signs):
                self._said = claim, orders.signs
                self.say(step=orders.step, of=claim)


def _die_with_the_supervisor() -> None:
    """By the kernel's hand where it offers that; elsewhere the closed standard input has to do."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
