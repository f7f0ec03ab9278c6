"""`python -m worker.run.child`: the training process. It runs the experiments that its supervisor sends.

Its standard input is a socket to the supervisor, which carries the messages of worker.messages in both directions.
"""

import faulthandler
import os
import queue
import signal
import sys
import threading
from contextlib import suppress

from normlab.process.command_line import CommandParser
from normlab.process.logging import about, log_to_stderr
from normlab.process.parent_death import die_with_parent
from normlab.process.scheduling import compute_in_batches
from normlab.spec.lifecycle import Phase, StopReason
from normlab.store.claims import Claim
from normlab.store.database import Database
from normlab.store.gradient_checks import CheckClaim
from worker.messages import (
    COMMANDS,
    Abort,
    CheckFinished,
    CheckGradients,
    Command,
    Finished,
    Progress,
    Ready,
    Report,
    Run,
    Stop,
)
from worker.run.malloc import keep_freed_memory
from worker.run_control import RunControl
from worker.settings import WorkerSettings

REPORT_INTERVAL_SECONDS = 0.2  # between two progress reports


def main() -> None:
    """Run experiments until the supervisor ends. Then end at once."""
    CommandParser(description="Run the experiments that a supervisor sends. `python -m worker` starts it.").parse_args()
    die_with_parent()
    # A terminal or a process manager sends these to the whole process group. The supervisor then sends a Stop.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    faulthandler.enable(all_threads=False)  # see TrainingProcess.abort
    log_to_stderr()
    compute_in_batches()
    keep_freed_memory()
    settings = WorkerSettings.read()
    database = Database(settings.database_url)
    supervisor = _SupervisorConnection()
    # Imported after the connection is made: importing torch takes seconds, in which the supervisor may end.
    import torch

    torch.backends.cudnn.deterministic = True  # so that a resumed training ends with the same bits

    from worker.run.experiment import run
    from worker.run.gradient_check import run_check
    from worker.run.interruptible import has_abandoned_work
    from worker.training import device
    from worker.training.threads import MAX_THREADS

    supervisor.send(Ready(device=device.name(device.choose("auto")), threads=MAX_THREADS))
    while True:
        work = supervisor.work.get()
        if isinstance(work, CheckClaim):
            run_check(database, work, settings)
            supervisor.send(CheckFinished(claim=work))
            continue
        claim, control = work
        with about(experiment=claim.experiment_id, attempt=claim.attempt):
            kept = run(database, claim, settings, control)
        # If the supervisor found the claim lost and sent a Stop, it has counted the refused write itself.
        refused = not kept and control.stop != StopReason.CLAIM_LOST
        supervisor.send(Finished(claim=claim, refused_write=refused, must_exit=has_abandoned_work()))


class _SupervisorConnection:
    """The training process's end of the socket. One thread receives commands, another reports progress."""

    def __init__(self) -> None:
        # The socket is moved away from standard input. Otherwise a compiler that this process starts would inherit it,
        # and while the compiler runs the supervisor would not learn that this process has died.
        self._socket = os.dup(sys.stdin.fileno())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, sys.stdin.fileno())
        os.close(null)
        self.work: queue.SimpleQueue[tuple[Claim, RunControl] | CheckClaim] = queue.SimpleQueue()
        # One attribute for both, so that no thread reads the claim of one experiment with the control of another.
        self._current = Claim(0, 0), RunControl()
        self._reported: tuple[Claim, int, Phase | None] = Claim(0, 0), 0, None
        threading.Thread(target=self._receive, name="commands", daemon=True).start()
        threading.Thread(target=self._report_progress, name="progress", daemon=True).start()

    def send(self, report: Report) -> None:
        """Send one report. Two threads may send at once: a write of one short line is never split."""
        os.write(self._socket, report.line())

    def _receive(self) -> None:
        rest = b""
        with suppress(ConnectionResetError):  # raised if the supervisor ended before it had read every report
            while received := os.read(self._socket, 4096):
                *lines, rest = (rest + received).split(b"\n")
                for line in lines:
                    self._handle(COMMANDS.validate_json(line))
        os._exit(1)

    def _handle(self, command: Command) -> None:
        match command:
            case Run(claim=claim):
                self._current = claim, RunControl()
                self.work.put(self._current)
            case CheckGradients(claim=check):
                self.work.put(check)
            case Stop(reason=reason):
                self._current[1].stop = reason
            case Abort():
                faulthandler.dump_traceback()
                os._exit(1)

    def _report_progress(self) -> None:
        pause = threading.Event()
        while not pause.wait(REPORT_INTERVAL_SECONDS):
            claim, control = self._current
            live = control.live
            advanced = claim, control.progress_count, live.phase
            if (control.step is not None or live.phase is not None) and self._reported != advanced:
                self._reported = advanced
                self.send(Progress(claim=claim, step=control.step, live=live))


if __name__ == "__main__":
    main()
