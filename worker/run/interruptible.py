"""Work that cannot be interrupted, such as a download, run in a thread so that its caller can be."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")

_threads: list[threading.Thread] = []  # those started and not known to have ended


def run_interruptibly(work: Callable[[], Result], check: Callable[[], None], *, every_seconds: float = 0.2) -> Result:
    """Return or raise what work returns or raises. check is called meanwhile; if it raises, the work is abandoned."""
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
    """Return whether abandoned work still runs. It would compete with the next experiment for the machine."""
    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    return bool(_threads)
