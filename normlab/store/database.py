"""Engines for SQLite and PostgreSQL, and the database's own clock."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Double, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.expression import FunctionElement

TIMEOUT_SECONDS = 15  # how long a statement waits for its turn on SQLite, for its answer on PostgreSQL
SLOWEST_BYTES_A_SECOND = 1_000_000  # on PostgreSQL; what a statement carries has so much time beside
PREPARED_AFTER = 5  # times that a statement was sent, it is prepared on PostgreSQL: psycopg's own number
CONNECTIONS = 16  # of one engine at most; so many threads may ask at once without waiting for each other
PING_SECONDS = 5  # how long a connection may take to show that it still is one, and a new one to be made
SAFE_SQLITE = (3, 51, 3)  # the first release free of the WAL-reset corruption

try:
    import pysqlite3 as sqlite  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # no wheel for this platform
    import sqlite3 as sqlite

__all__ = [
    "CONNECTIONS",
    "DATABASE_ERRORS",
    "TRANSIENT_ERRORS",
    "Database",
    "database_now",
    "is_conflict",
    "message_of",
    "sqlite",
]

# What is raised while a database is away, full, read-only or busy for too long: all of it passes.
TRANSIENT_ERRORS = (OperationalError, InterfaceError, InternalError, NoFreeConnection)
DATABASE_ERRORS = (DBAPIError, NoFreeConnection)  # for whom any error of a database is no reason to end

_POOL: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": TIMEOUT_SECONDS}


class database_now(FunctionElement[float]):  # noqa: N801 — reads as the SQL function it is
    """The database's clock, seconds since 1970: the only clock that leases are told by."""

    inherit_cache = True
    type = Double()


@compiles(database_now, "postgresql")
def _on_postgresql(element: database_now, compiler: Any, **kw: Any) -> str:
    # clock_timestamp, not now(): the latter stands still for a whole transaction.
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(database_now, "sqlite")
def _on_sqlite(element: database_now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def message_of(error: Exception) -> object:
    """What a database raised, without the statement, which holds what was to be written."""
    return getattr(error, "orig", error)


def is_conflict(error: DBAPIError) -> bool:
    """Whether another transaction was there first, so that trying again at once will do."""
    return isinstance(error, IntegrityError) or isinstance(error.orig, psycopg.errors.DeadlockDetected)


class Database:
    """Sessions to read and to write with. Nothing connects before the first of them."""

    def __init__(self, url: str) -> None:
        self.url = url
        if make_url(url).get_backend_name() == "sqlite":
            file = _File(Path(make_url(url).database or ""))
            self.writer, self.reader = (_sqlite(url, file, begin=begin) for begin in ("BEGIN IMMEDIATE", "BEGIN"))
        else:
            self.writer = self.reader = _postgresql(url)
        self.writing: sessionmaker[Session] = sessionmaker(self.writer, expire_on_commit=False)
        self.reading: sessionmaker[Session] = sessionmaker(self.reader, expire_on_commit=False)

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.reader.dispose()


def _with_driver(url: str) -> str:
    """postgresql:// as people write it means psycopg 3 here."""
    for plain in ("postgresql://", "postgres://"):
        if url.startswith(plain):
            return "postgresql+psycopg://" + url.removeprefix(plain)
    return url


class _TimeoutConnection(psycopg.Connection[Any]):
    """A connection that is given up when an answer takes too long: one whose bytes stop passing would wait for ever.

    timeout_seconds: None for no end; a commit has that of the statement before it.
    """

    timeout_seconds: float | None = PING_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's. Raises psycopg.OperationalError."""
        try:
            return super().wait(gen, interval, self.timeout_seconds if timeout is None else timeout)
        except psycopg.errors.IdleInTransactionSessionTimeout as ended:
            raise psycopg.OperationalError(str(ended)) from None  # a lost connection like any other, to be tried again
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:  # its answer is still to come
                self.close()
            raise


def _postgresql(url: str) -> Engine:
    """An engine that notices when the server is gone, or does not answer.

    Two execution options lengthen a statement's patience: reads_bytes by what is to come, no_timeout without end.
    """
    patience = {"connect_timeout": PING_SECONDS, "tcp_user_timeout": 1000 * TIMEOUT_SECONDS}
    engine = create_engine(_with_driver(url), **_POOL, hide_parameters=True, pool_pre_ping=True, connect_args=patience)

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: object, record: object, arguments: Any, options: Any) -> Any:
        return _TimeoutConnection.connect(*arguments, **options)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: object) -> None:
        # A process that is stopped in a transaction would keep its locks: the server ends such a session. Not one of
        # the connection's `options`: a pooler refuses those it does not know.
        connection.autocommit = True
        connection.execute(
            "SELECT set_config(name, %s, false) FROM pg_settings"
            " WHERE name = 'idle_in_transaction_session_timeout' AND setting = '0'",  # else somebody has chosen
            [f"{TIMEOUT_SECONDS}s"],
        )
        connection.autocommit = False

    @event.listens_for(engine, "before_cursor_execute")
    def _allow_time(_: object, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        options = context.execution_options
        carried = options.get("reads_bytes", 0) + _bytes_in(parameters if many else [parameters])
        no_timeout = options.get("no_timeout", False)
        cursor.connection.timeout_seconds = None if no_timeout else TIMEOUT_SECONDS + carried / SLOWEST_BYTES_A_SECOND
        # One that is prepared begins with its bytes: until all have come the server would take the session for idle.
        cursor.connection.prepare_threshold = None if carried > SLOWEST_BYTES_A_SECOND else PREPARED_AFTER

    ping = engine.dialect.do_ping

    def _ping(connection: Any) -> bool:
        # Before a statement; with as much patience as for the statement, whoever asked would wait for both.
        connection.timeout_seconds = PING_SECONDS
        return ping(connection)

    engine.dialect.do_ping = _ping  # type: ignore[assignment]
    return engine


def _bytes_in(parameters: Iterable[Any]) -> int:
    """Of the binary values in these sets of parameters, by name or by place."""
    values = (value for one in parameters for value in (one.values() if isinstance(one, dict) else one or ()))
    return sum(len(value.obj) for value in values if isinstance(value, psycopg.Binary))


def _sqlite(url: str, file: "_File", *, begin: str) -> Engine:
    """An engine whose transactions begin as told: a writer waits for its turn at BEGIN, not in the middle."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    # A WAL is only safe in the repaired releases; without one the rollback journal is slower and just as durable.
    journal = "WAL" if sqlite.sqlite_version_info >= SAFE_SQLITE else "DELETE"
    engine = create_engine(
        url,
        **_POOL,
        hide_parameters=True,
        module=sqlite,
        connect_args={"timeout": TIMEOUT_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    @event.listens_for(engine, "checkout")
    def _check(*_: object) -> None:
        file.check()

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: object) -> None:
        file.remember()
        connection.isolation_level = None  # we say BEGIN ourselves
        _set_journal(connection, journal)
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    @event.listens_for(engine, "handle_error")
    def _reopen(context: Any) -> None:
        # A file that could not be written when it was opened stays so for that connection, whatever becomes of it.
        if "readonly database" in str(context.original_exception):
            context.is_disconnect = True

    return engine


class _File:
    """SQLite's file, which must stay the one it was: what is written to one that was removed or replaced is lost, and
    the log beside it (its -wal) would be replayed into another.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._first: tuple[int, int] | None = None  # device and inode

    def remember(self) -> None:
        """That it is in use from here on."""
        self._first = self._first or self._now()

    def check(self) -> None:
        """Raises sqlite's OperationalError if it is another, or gone."""
        if self._first is not None and self._now() != self._first:
            raise sqlite.OperationalError(
                f"{self.path} was removed or replaced while it was in use: put it back; or stop the service and the "
                "workers, remove the files beside it that end in -wal and -shm, and start again"
            )

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _set_journal(connection: Any, journal: str) -> None:
    """Change the journal's mode. It needs the file for itself and, unlike other statements, does not wait for it."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {journal}").fetchall()
            return
        except sqlite.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
