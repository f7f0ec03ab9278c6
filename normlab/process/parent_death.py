"""Ending a process when its parent ends, however the parent ends: even a killed parent leaves no child behind."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
POLL_SECONDS = 1.0


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends. Elsewhere than on Linux, do nothing."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def exit_without_parent(parent: int) -> None:
    """Exit, from a background thread, within a second after the parent process has ended. For any system."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent death", daemon=True).start()


def when_stdin_closes(act: Callable[[], object]) -> None:
    """Call `act`, from a background thread, when standard input closes. A parent's pipe closes when the parent ends."""

    def read() -> None:
        # os.read, since a buffered read would hold a lock that the interpreter needs at exit.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        act()

    threading.Thread(target=read, name="stdin", daemon=True).start()
