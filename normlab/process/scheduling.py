"""How a process that computes for long shares the cores with those that answer at once."""

import os


def compute_in_batches() -> None:
    """Let processes that wake up run before this one, without giving it a smaller part of the cores.

    A heartbeat or a request then interrupts a training or a figure. With a niceness instead, other processes on the
    same cores would leave next to nothing: at niceness 15 it has a thousandth of two cores beside eight of niceness 0.
    """
    if hasattr(os, "SCHED_BATCH"):  # on Linux
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
