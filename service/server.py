"""The service as a process: it prepares the database, listens, runs the local worker, and stops at a signal."""

import gc
import logging
import signal
import socket
import sys
from contextlib import nullcontext
from typing import Any

import uvicorn
from sqlalchemy.exc import DBAPIError

from normlab.store import api_keys
from normlab.store.database import Database
from normlab.store.database_summary import is_absent, summary
from normlab.store.schema import SchemaStatus, migrate, schema_status
from service.app import create_app
from service.local_worker import LocalWorker
from service.settings import ServiceSettings

log = logging.getLogger(__name__)

# How long open requests may continue after a stop signal. Without a limit, a client that does not read its response
# would keep the service from stopping.
GRACE_SECONDS = 8


def serve(*, with_worker: bool, **given: Any) -> None:
    """Serve with the environment's settings, except the given ones. Exits with a message if it cannot start."""
    settings = ServiceSettings.read(**given)
    if not with_worker:
        settings = settings.model_copy(update={"local_worker": False})
    _prepare_database(settings)
    listening = _listen(settings)
    config = uvicorn.Config(
        create_app(settings), log_level="warning", log_config=None, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    server = uvicorn.Server(config)
    _collect_garbage_rarely()

    def stop(*_: Any) -> None:
        server.should_exit = True

    # For signals before uvicorn installs its own handlers, and for those that it raises again after it has stopped,
    # when only the local worker is left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    worker = LocalWorker(settings, when_refused=stop)
    with worker if settings.local_worker else nullcontext():
        # The socket listens already. A client that connects from here on gets its response when the application runs.
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"normlab serves on http://{host}:{listening.getsockname()[1]}", flush=True)
        server.run([listening])
    if worker.refusal is not None:
        sys.exit(f"the service stops, because its local worker cannot start: {worker.refusal}")


def _prepare_database(settings: ServiceSettings) -> None:
    """Migrate a SQLite database. Exits if an API key is required and none exists.

    A PostgreSQL database is not migrated here, because other services may use it. One that is unreachable or has
    another schema may become ready later, so the service starts, and /readyz says what is wrong.
    """
    database = Database(settings.database_url)
    try:
        if is_absent(database):
            log.warning("database %s; this service makes it", summary(database, default=settings.default_database))
        status = schema_status(database.reader)
        if status.can_migrate and database.writer.dialect.name == "sqlite":
            migrate(database)
            status = SchemaStatus.CURRENT
        log.info("database %s", summary(database, default=settings.default_database))
        if status != SchemaStatus.CURRENT:
            log.warning("database %s: %s", database.location, status.description)
        elif settings.key_needed():
            with database.reading() as session:
                if not api_keys.any_active(session):
                    sys.exit(_no_key(settings))
    except DBAPIError as error:
        if database.writer.dialect.name == "sqlite":
            sys.exit(f"database {database.location} cannot be opened: {error.orig}")
        log.warning("database %s does not answer yet: %s", database.location, error.orig)
    finally:
        database.close()


def _no_key(settings: ServiceSettings) -> str:
    """Return why the service does not start without an API key, and what to do."""
    create = "and there is none. Create one: python -m service key create --scope write"
    if settings.require_key:
        return f"NORMLAB_REQUIRE_KEY=true requires an API key, {create}"
    return (
        f"serving on {settings.host} requires an API key, {create}; or, where something else controls the access, set "
        "NORMLAB_ALLOW_REMOTE_WITHOUT_KEY=true"
    )


def _listen(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        sys.exit(
            f"cannot serve on {settings.host}:{settings.port}: {error.strerror}; set NORMLAB_HOST and NORMLAB_PORT, or "
            "--host and --port"
        )
    listening.listen(1024)
    return listening


def _collect_garbage_rarely() -> None:
    """Exempt the imported modules from garbage collection, which took a quarter of a request's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
