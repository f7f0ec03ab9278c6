"""Download a public data set once, by one worker at a time, and say what to do if that fails."""

import fcntl
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

RECEIVE_TIMEOUT_SECONDS = 30.0  # without a byte from the server


class DatasetUnavailable(Exception):
    """The files of a data set are missing or broken. The message says which files to put where."""


@contextmanager
def downloading(
    title: str, data_dir: Path, remedy: str, *, timeout_seconds: float = RECEIVE_TIMEOUT_SECONDS
) -> Iterator[None]:
    """Surround a download into data_dir. A second worker waits for the first one, and then finds the files.

    title: the data set's name in the error message. remedy: sentences that say what to do, added to the error message.

    Raises: DatasetUnavailable for every error of the network or the disk.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with (data_dir / ".downloading").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it even if the worker is killed
            with _socket_timeout(timeout_seconds):
                yield
    except (OSError, HTTPException, RuntimeError) as error:
        reason = str(error).strip().rstrip(".")
        raise DatasetUnavailable(
            f"{title} is not in {data_dir} and could not be downloaded: {reason}. {remedy}"
        ) from error


def with_md5(files: Iterable[tuple[str, str] | list[str]]) -> str:
    """Return file names and checksums as a list in words."""
    return ", ".join(f"{name} (MD5 {md5})" for name, md5 in files)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision sets no timeout. Behind a firewall that drops packets, it would wait without end.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
