"""The database: sessions to read and to write with, the database's own clock, and the errors it raises."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Double
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.expression import FunctionElement

from normlab.process.database_address import SQLiteAddress, read_address
from normlab.store.postgresql_engine import postgresql_engine
from normlab.store.sqlite_engine import sqlite_engines

TIMEOUT_SECONDS = 15.0  # how long to wait for a lock of SQLite or a reply of PostgreSQL
MAX_STATEMENTS = 100  # compiled ones that are kept in memory: a list has another one for each choice of filters
MAX_CONNECTIONS = 16  # of one engine: this many threads use it without waiting. SQLite has two engines

# Raised while a database is unreachable, full, read-only or locked for too long. The same statement may succeed later.
TRANSIENT_ERRORS = (OperationalError, InterfaceError, InternalError, NoFreeConnection)
DATABASE_ERRORS = (DBAPIError, NoFreeConnection)  # every error that a database raises


class Database:
    """Sessions to read and to write with. Nothing connects before the first session is used.

    url: sqlite:///path or postgresql://user:password@host/name. Raises ValueError if it is neither.
    timeout_seconds: how long a statement waits for a lock of SQLite, or for a reply of PostgreSQL, and how long a
    session waits for a free connection.
    """

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.url, self.address = url, read_address(url)
        pool = {
            "pool_size": MAX_CONNECTIONS, "max_overflow": 0, "pool_timeout": timeout_seconds,
            "query_cache_size": MAX_STATEMENTS,
        }  # fmt: skip
        if isinstance(self.address, SQLiteAddress):
            self.writer, self.reader = sqlite_engines(self.address.path, timeout_seconds=timeout_seconds, **pool)
        else:
            self.writer = self.reader = postgresql_engine(self.address.uri, timeout_seconds=timeout_seconds, **pool)
        self.writing: sessionmaker[Session] = sessionmaker(self.writer, expire_on_commit=False)
        self.reading: sessionmaker[Session] = sessionmaker(self.reader, expire_on_commit=False)

    @property
    def location(self) -> str:
        """The file's absolute path, or the database's name and host, without a password."""
        return self.address.location

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.reader.dispose()


@contextmanager
def snapshot(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """Yield a session whose reads all see the database at one moment, whatever other transactions commit meanwhile."""
    with sessions() as session:
        if session.get_bind().dialect.name == "postgresql":  # on SQLite every transaction reads so
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


def message_of(error: Exception) -> object:
    """Return the driver's error. SQLAlchemy's own message holds the statement's values."""
    return getattr(error, "orig", error)


def is_conflict(error: DBAPIError) -> bool:
    """Return whether the error is a conflict with a concurrent transaction. The same one may succeed when repeated."""
    return isinstance(error, IntegrityError) or isinstance(error.orig, psycopg.errors.DeadlockDetected)


class database_now(FunctionElement[float]):  # noqa: N801 — it reads as the SQL function that it is
    """The time by the database's clock, in seconds since 1970. Leases use no other clock."""

    inherit_cache = True
    type = Double()


@compiles(database_now, "postgresql")
def _on_postgresql(element: database_now, compiler: Any, **kw: Any) -> str:
    # now() would return the time at which the transaction began.
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(database_now, "sqlite")
def _on_sqlite(element: database_now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
