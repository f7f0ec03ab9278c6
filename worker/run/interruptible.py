"""Run work that cannot be interrupted, such as a download, in a thread, so that its caller can stop waiting for it."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")

_threads: list[threading.Thread] = []  # that were started and may still run


def run_interruptibly(work: Callable[[], Result], check: Callable[[], None], *, every_seconds: float = 0.2) -> Result:
    """Return what `work` returns, or raise what it raises. `check` is called while it runs.

    If `check` raises, its exception is raised and the work is abandoned: its thread continues.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=copy_context().run, args=[run], name="interruptible work", daemon=True)
    thread.start()
    _threads.append(thread)
    while thread.is_alive():
        thread.join(every_seconds)
        check()
    if errors:
        raise errors[0]
    return results[0]


def has_abandoned_work() -> bool:
    """Return whether abandoned work still runs. It would slow down the next experiment of this process."""
    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    return bool(_threads)
