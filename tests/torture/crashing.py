"""`python -m tests.torture.crashing`: a worker one of whose processes is killed at one named point, once.

CRASH_AT is the point, such as `record:inside` or `record#3:before`: a verb, which call of it (by default the first),
and the moment: before it, inside its transaction, or after the commit. CRASHED is a file that is created at that
moment. While the file exists, no process is killed.
"""

import os
import signal
import sys
from contextlib import suppress
from functools import partial

from sqlalchemy import event

from normlab.process.command_line import CommandParser
from normlab.store import claims, lost_attempts, records
from worker.supervisor.training_process import TrainingProcess

VERBS = {
    "supervisor": (
        (lost_attempts, "requeue_stalled"), (claims, "claim"), (claims, "heartbeat"),
    ),
    "child": (
        (claims, "start_attempt"), (claims, "store_gradient_check"), (records, "record"), (claims, "succeed"),
        (claims, "fail"), (claims, "cancel"), (claims, "release"),
    ),
}  # fmt: skip


def main(role: str) -> None:
    """Run as a supervisor or as its training process, and crash if the point belongs to this role."""
    CommandParser(description=__doc__).parse_args()
    call, _, moment = os.environ["CRASH_AT"].partition(":")
    name, _, number = call.partition("#")
    name = "release" if name == "pause" else name  # a pause ends with the verb release
    for module, verb in VERBS[role]:
        if verb == name:
            setattr(module, verb, crash_in_verb(getattr(module, verb), moment, int(number or 1)))
    sys.argv = ["worker"]
    if role == "supervisor":
        from worker.__main__ import main as work

        work(start=partial(TrainingProcess, module="tests.torture.crashing_child"))
    else:
        from worker.run.child import main as work_as_child
        from worker.training import training

        if name in ("run_test", "resume"):
            setattr(training.Training, name, crash_around(getattr(training.Training, name), moment))
        if name == "pack":
            training.pack = crash_around(training.pack, moment)
        work_as_child()


def crash_in_verb(verb, moment, number):
    """Return a verb of a session that kills its process in one of its calls. number: which call, from 1."""
    calls = 0

    def crashing_verb(session, *arguments, **options):
        nonlocal calls
        calls += 1
        if calls != number:
            return verb(session, *arguments, **options)
        if moment == "before":
            crash()
        result = verb(session, *arguments, **options)
        if moment == "inside":
            session.flush()
            crash()
        event.listen(session, "after_commit", lambda session: crash())
        return result

    return crashing_verb


def crash_around(function, moment):
    """Return a function that kills its process before or after each call."""

    def crashing_function(*arguments, **options):
        if moment == "before":
            crash()
        result = function(*arguments, **options)
        crash()
        return result

    return crashing_function


def crash() -> None:
    """Kill this process, unless a process has crashed before."""
    with suppress(FileExistsError):
        os.close(os.open(os.environ["CRASHED"], os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main("supervisor")
