"""PostgreSQL: an engine that gives up a statement when the server does not reply in time.

TCP reports neither a server that is stopped nor a network that is cut, so every reply has a time limit. A statement
that carries large binary values, or reads them, has more time: SLOWEST_BYTES_A_SECOND says how much.
"""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import Dialect

PING_SECONDS = 5.0  # for a connection to show that it is alive, and for a new one to be made
SLOWEST_BYTES_A_SECOND = 1_000_000
PREPARE_THRESHOLD = 5  # how often a statement is sent before it is prepared: psycopg's default


def postgresql_engine(uri: str, *, timeout_seconds: float, **pool: Any) -> Engine:
    """Return an engine whose statements raise OperationalError if the server does not reply in time.

    uri: libpq reads it, because SQLAlchemy reads some addresses differently: an encoded socket directory, several hosts
    and a + among the options.

    Two execution options lengthen the time: reads_bytes (int), the bytes that the reply will hold, and no_timeout
    (bool), for a statement that may take any time.
    """
    given = connection_options(uri, timeout_seconds=timeout_seconds)
    engine = create_engine("postgresql+psycopg://", **pool, hide_parameters=True, pool_pre_ping=True)

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: object, record: object, arguments: Any, options: Any) -> Any:
        return _TimeoutConnection.connect(*arguments, **options | given)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: object) -> None:
        _limit_idle_transactions(connection, timeout_seconds)

    @event.listens_for(engine, "before_cursor_execute")
    def _set_timeout(_: object, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        options = context.execution_options
        size = options.get("reads_bytes", 0) + _binary_size(parameters if many else [parameters])
        no_timeout = options.get("no_timeout", False)
        cursor.connection.timeout_seconds = None if no_timeout else timeout_seconds + size / SLOWEST_BYTES_A_SECOND
        # A prepared statement is sent with its values first. The server would end the session as idle in a transaction
        # while it waits for large values to arrive.
        cursor.connection.prepare_threshold = None if size > SLOWEST_BYTES_A_SECOND else PREPARE_THRESHOLD

    _limit_pings(engine.dialect)
    return engine


def connection_options(uri: str, *, timeout_seconds: float) -> dict[str, Any]:
    """Return the options that libpq reads from the URI, and the timeouts that it does not set itself."""
    timeouts = {"connect_timeout": int(PING_SECONDS), "tcp_user_timeout": int(1000 * timeout_seconds)}
    return timeouts | conninfo_to_dict(uri)


class _TimeoutConnection(psycopg.Connection[Any]):
    """A connection that is closed when a reply does not arrive in time.

    timeout_seconds: the limit of the current statement and of the commit after it. None: no limit.
    """

    timeout_seconds: float | None = PING_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Do as psycopg does. Raises psycopg.OperationalError."""
        try:
            return super().wait(gen, interval, self.timeout_seconds if timeout is None else timeout)
        except psycopg.errors.IdleInTransactionSessionTimeout as error:
            # psycopg makes this an InternalError. It is a lost connection, so callers expect an OperationalError.
            raise psycopg.OperationalError(str(error)) from None
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:  # the reply may still arrive
                self.close()
            raise


def _limit_idle_transactions(connection: Any, timeout_seconds: float) -> None:
    """Have the server end a session that is idle in a transaction: a process that is stopped would keep its locks.

    This is not one of the connection's `options`, because a pooler refuses options that it does not know.
    """
    connection.autocommit = True
    connection.execute(
        "SELECT set_config(name, %s, false) FROM pg_settings"
        " WHERE name = 'idle_in_transaction_session_timeout' AND setting = '0'",  # keep a limit that is set already
        [f"{round(1000 * timeout_seconds)}ms"],
    )
    connection.autocommit = False


def _limit_pings(dialect: Dialect) -> None:
    """Limit the ping before a statement: with the statement's own limit, a caller would wait for twice that time."""
    do_ping = dialect.do_ping

    def ping(connection: Any) -> bool:
        connection.timeout_seconds = PING_SECONDS
        return do_ping(connection)

    dialect.do_ping = ping  # type: ignore[assignment, method-assign]


def _binary_size(parameter_sets: Iterable[Any]) -> int:
    """Return how many bytes the binary values in these sets of parameters have, by name or by position."""
    values = (
        value
        for parameters in parameter_sets
        for value in (parameters.values() if isinstance(parameters, dict) else parameters or ())
    )
    return sum(len(value.obj) for value in values if isinstance(value, psycopg.Binary))
