"""SQLite: an engine to write with and one to read with, over one file."""

import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

from normlab.store.sqlite_file import SQLiteFile, sqlite

SAFE_WAL_VERSION = (3, 51, 3)  # the first release of SQLite without the WAL-reset corruption
JOURNAL_RETRY_SECONDS = 0.02
FILE_OPTION = "sqlite_file"  # the execution option that holds an engine's SQLiteFile


def sqlite_engines(path: Path, *, timeout_seconds: float, **pool: Any) -> tuple[Engine, Engine]:
    """Return the engine to write with and the one to read with. The first connection makes the file and its folder.

    A transaction of the first waits for SQLite's one write lock when it begins. If it asked for the lock later, SQLite
    would refuse it at once if another transaction had written since its first read.
    """
    file = SQLiteFile(path)
    return (
        _engine(file, begin="BEGIN IMMEDIATE", timeout_seconds=timeout_seconds, **pool),
        _engine(file, begin="BEGIN", timeout_seconds=timeout_seconds, **pool),
    )


def _engine(file: SQLiteFile, *, begin: str, timeout_seconds: float, **pool: Any) -> Engine:
    """Return an engine whose transactions begin with the given statement."""
    engine = create_engine(
        URL.create("sqlite", database=str(file.path)), **pool, hide_parameters=True, module=sqlite,
        connect_args={"timeout": timeout_seconds, "check_same_thread": False},
        execution_options={FILE_OPTION: file},
    )  # fmt: skip

    @event.listens_for(engine, "do_connect")
    @event.listens_for(engine, "checkout")
    def _check(*_: object) -> None:
        file.check()

    @event.listens_for(engine, "do_connect")
    def _make_folder(*_: object) -> None:
        file.make_folder()

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: object) -> None:
        file.remember()
        connection.isolation_level = None  # the driver must not begin transactions: _begin does
        _set_journal(connection, timeout_seconds)
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    @event.listens_for(engine, "handle_error")
    def _reopen(context: Any) -> None:
        # A connection that was opened while the file was read-only stays read-only, also after the file can be written.
        if "readonly database" in str(context.original_exception):
            context.is_disconnect = True

    return engine


def _set_journal(connection: Any, timeout_seconds: float) -> None:
    """Set the journal's mode. This needs an exclusive lock, for which SQLite does not wait."""
    # In older releases a WAL is not safe. The rollback journal is slower and as durable.
    journal = "WAL" if sqlite.sqlite_version_info >= SAFE_WAL_VERSION else "DELETE"
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {journal}").fetchall()
            return
        except sqlite.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(JOURNAL_RETRY_SECONDS)
