"""Fetching a public data set once, by one worker at a time, and saying what to do where that fails."""

import fcntl
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

STALLED_AFTER_SECONDS = 30.0  # without a byte


class DatasetUnavailable(Exception):  # the state of a thing, not of a program
    """A data set is not there and cannot be had; the message says which files to put where."""


@contextmanager
def downloading(title: str, data_dir: Path, remedy: str) -> Iterator[None]:
    """Around a download into data_dir: a second worker waits for the first, then finds the files there.

    Raises: DatasetUnavailable, ending in the remedy, for whatever a network or a disk refuses.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with (data_dir / ".downloading").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, even by a worker that is killed
            with _patience():
                yield
    except (OSError, HTTPException, RuntimeError) as error:
        reason = str(error).strip().rstrip(".")
        raise DatasetUnavailable(
            f"{title} is not in {data_dir} and could not be downloaded: {reason}. {remedy}"
        ) from error


def with_md5(files: Iterable[tuple[str, str] | list[str]]) -> str:
    """Names and checksums in the way a message lists them."""
    return ", ".join(f"{name} (MD5 {md5})" for name, md5 in files)


@contextmanager
def _patience() -> Iterator[None]:
    # torchvision passes no timeout on, so behind a firewall that drops packets it would wait for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_AFTER_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
