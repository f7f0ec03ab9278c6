"""Work that cannot be asked to stop, such as a download, done aside so that who waits for it can leave."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")

_begun: list[threading.Thread] = []  # that had not ended when they were last looked at


def attended(work: Callable[[], Result], check: Callable[[], None], *, every_seconds: float = 0.2) -> Result:
    """What the work returns or raises. check is called while it lasts; if it raises, the work is left to itself."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=copy_context().run, args=[run], name="attended", daemon=True)
    thread.start()
    _begun.append(thread)
    while thread.is_alive():
        thread.join(every_seconds)
        check()
    if errors:
        raise errors[0]
    return results[0]


def is_left_behind() -> bool:
    """Whether work goes on that nobody waits for any more, in the way of what comes next."""
    _begun[:] = [thread for thread in _begun if thread.is_alive()]
    return bool(_begun)
