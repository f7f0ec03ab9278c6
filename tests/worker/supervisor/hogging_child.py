"""A training process that never releases the interpreter's lock, so that no other thread of it can run."""

import ctypes
import sys
from typing import Never

from worker.run import child, experiment


def hog(*_: object) -> Never:
    """Sleep like an extension module that forgets to release the lock."""
    print("holds the lock", file=sys.stderr, flush=True)
    ctypes.PyDLL(None).sleep(1000)
    raise AssertionError("the process should have been killed")


if __name__ == "__main__":
    experiment.run = hog  # type: ignore[assignment]
    child.main()
