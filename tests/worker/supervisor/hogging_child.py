"""A worker's child whose training never lets go of the interpreter's lock, so that no other thread of it can run."""

import ctypes
import sys
from typing import Never

from worker.run import child, experiment


def hog(*_: object) -> Never:
    """Sleep as an extension module would that forgot to release the lock."""
    print("holds the lock", file=sys.stderr, flush=True)
    ctypes.PyDLL(None).sleep(1000)
    raise AssertionError("it was to be killed")


if __name__ == "__main__":
    experiment.run = hog  # type: ignore[assignment]
    child.main()
