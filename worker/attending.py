"""Work that cannot be asked to stop, such as a download, done aside so that who waits for it can leave."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")


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
    while thread.is_alive():
        thread.join(every_seconds)
        check()
    if errors:
        raise errors[0]
    return results[0]
