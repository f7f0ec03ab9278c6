"""Keep Pillow from writing messages of its own about images: we report damaged files ourselves, with their names."""

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Suppress the warnings, log lines and printed lines of Pillow and its libraries. They name no file."""
    _silence_libtiff()
    log = logging.getLogger("PIL")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        log.setLevel(before)


@cache  # once per process
def _silence_libtiff() -> None:
    """Switch libtiff's printed messages off, if this system shows where Pillow has loaded it from."""
    try:
        mapped = Path("/proc/self/maps").read_text()
    except OSError:  # not Linux
        return
    for path in {line.split(maxsplit=5)[5] for line in mapped.splitlines() if "/libtiff" in line}:
        set_handler = getattr(ctypes.CDLL(path), "TIFFSetErrorHandler", None)
        if set_handler is not None:
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)
