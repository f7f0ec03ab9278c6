"""`python -m tests.torture.crashing`: a worker that is killed, or whose child is, at one named point, once.

The point is CRASH_AT, such as `record:inside` or `record#3:before`: a verb, which time, and where: before it, inside
its transaction, or after the commit. CRASHED is a file made at that moment; while it is there, nothing is killed.
"""

import os
import signal
import sys
from contextlib import suppress
from functools import partial

from sqlalchemy import event

from normlab.store import claims, lost_attempts, records
from worker.supervisor.supervisor import Supervisor
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
    """Arm the point, if it is one of this process's, and be a worker or its child."""
    called, _, where = os.environ["CRASH_AT"].partition(":")
    name, _, time = called.partition("#")
    name = "release" if name == "pause" else name  # which is what heeds a pause
    for module, verb in VERBS[role]:
        if verb == name:
            setattr(module, verb, armed(getattr(module, verb), where, int(time or 1)))
    if role == "supervisor":
        start = partial(TrainingProcess, module="tests.torture.crashing_child")
        Supervisor.__init__.__kwdefaults__["start"] = start
        from worker.__main__ import main as work
    else:
        from worker.run.child import main as work
        from worker.training import training

        if name in ("run_test", "resume"):
            setattr(training.Training, name, around(getattr(training.Training, name), where))
        if name == "pack":
            training.pack = around(training.pack, where)
    sys.argv = ["worker"]
    work()


def armed(verb, where, time):
    """A verb of a session that kills its process the so-manieth time."""
    calls = 0

    def verb_to_die_in(session, *arguments, **options):
        nonlocal calls
        calls += 1
        if calls != time:
            return verb(session, *arguments, **options)
        if where == "before":
            die()
        result = verb(session, *arguments, **options)
        if where == "inside":
            session.flush()
            die()
        event.listen(session, "after_commit", lambda session: die())
        return result

    return verb_to_die_in


def around(function, where):
    """Any function that kills its process before or after it."""

    def function_to_die_around(*arguments, **options):
        if where == "before":
            die()
        result = function(*arguments, **options)
        die()
        return result

    return function_to_die_around


def die() -> None:
    """Once, whoever is first."""
    with suppress(FileExistsError):
        os.close(os.open(os.environ["CRASHED"], os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main("supervisor")
