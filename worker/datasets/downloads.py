"""Download a public data set once, by one worker at a time, and say what to do if that fails."""

import fcntl
import hashlib
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

RECEIVE_TIMEOUT_SECONDS = 30.0  # without a byte from the server


class DatasetUnavailable(Exception):
    """The files of a data set are missing or broken. The message says which files to put where."""


@contextmanager
def downloading(
    title: str,
    data_dir: Path,
    remedy: str,
    *,
    find_wrong: Callable[[], Iterable[str]] = tuple,
    timeout_seconds: float = RECEIVE_TIMEOUT_SECONDS,
) -> Iterator[None]:
    """Surround a download into data_dir. A second worker waits for the first one, and then finds the files.

    title: the data set's name in the error message. remedy: sentences that say what to do, added to the error message.
    find_wrong: returns a clause for each file that is there and is not the right one. It is called if the download
    fails, so that a wrong file is not called missing.

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
        wrong = "; ".join(find_wrong())
        place = f"in {data_dir} (NORMLAB_DATA_DIR)"
        state = f"{title} is {place}, but {wrong}; it" if wrong else f"{title} is not {place} and"
        raise DatasetUnavailable(f"{state} could not be downloaded: {reason}. {remedy}") from error


def with_md5(files: Iterable[tuple[str, str] | list[str]]) -> str:
    """Return file names and checksums as a list in words."""
    return ", ".join(f"{name} (MD5 {md5})" for name, md5 in files)


def with_wrong_md5(folder: Path, files: Iterable[tuple[str, str] | list[str]]) -> Iterator[str]:
    """Yield a clause for each file that is in the folder with another MD5."""
    for name, md5 in files:
        if (folder / name).is_file() and (actual := _md5(folder / name)) != md5:
            yield f"{folder / name} has the wrong checksum: its MD5 is {actual}, not {md5}"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision sets no timeout. Behind a firewall that drops packets, it would wait without end.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
