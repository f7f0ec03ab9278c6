"""SQLite's driver, and a guard against a database file that is removed or replaced while it is in use."""

from pathlib import Path

try:
    import pysqlite3 as sqlite  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # there is no wheel for this platform
    import sqlite3 as sqlite

__all__ = ["SQLiteFile", "sqlite"]


class SQLiteFile:
    """A database file that must stay the same one.

    What is written to a file that was removed or replaced is lost, and SQLite would replay the log beside it (-wal)
    into the file that replaced it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._first: tuple[int, int] | None = None  # device and inode

    def is_absent(self) -> bool:
        """Return whether no file is in use and none exists. A connection would make an empty one."""
        return self._first is None and not self.path.exists()

    def make_folder(self) -> None:
        """Make the folder of the file. Raises sqlite.OperationalError, as for a file that cannot be opened."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sqlite.OperationalError(f"the folder {error.filename} cannot be made: {error.strerror}") from error

    def remember(self) -> None:
        """Remember the file that is there at the first call as the one in use."""
        self._first = self._first or self._identity()

    def check(self) -> None:
        """Raise sqlite.OperationalError if the file in use was removed or replaced."""
        if self._first is not None and self._identity() != self._first:
            raise sqlite.OperationalError(
                f"{self.path} was removed or replaced while it was in use. Put it back. Or stop the service and the "
                "workers, remove the files beside it that end in -wal and -shm, and start them again"
            )

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
