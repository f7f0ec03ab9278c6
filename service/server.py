"""The service as a process: its database migrated, its socket bound, its worker kept, until SIGTERM or SIGINT."""

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
from normlab.store.schema import SchemaStatus, migrate, schema_status
from service.app import create_app
from service.local_worker import LocalWorker
from service.settings import ServiceSettings

log = logging.getLogger(__name__)

GRACE_SECONDS = 8  # that open requests have once it is told to stop; a client that does not read would keep it for ever


def serve(*, with_worker: bool, **given: Any) -> None:
    """Serve with the environment's settings but for those given. Exits, saying why, if that cannot be."""
    settings = ServiceSettings.read(**given)
    _ready_the_database(settings)
    listening = _listen(settings)
    config = uvicorn.Config(
        create_app(settings), log_level="warning", log_config=None, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    server = uvicorn.Server(config)
    _collect_garbage_seldom()

    def stop(number: int, frame: Any) -> None:
        server.should_exit = True

    # Until uvicorn heeds these itself, and when it raises them again at its end, with only the worker left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    keeps_worker = settings.local_worker and with_worker
    with LocalWorker(settings) if keeps_worker else nullcontext():
        # The socket listens already: who connects from here on is served as soon as the application runs.
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"normlab serves on http://{host}:{listening.getsockname()[1]}", flush=True)
        server.run([listening])


def _ready_the_database(settings: ServiceSettings) -> None:
    """Migrate a SQLite file; a PostgreSQL is others' too. One that is away or of another schema may yet come right, and
    until then the service says at /readyz what is wrong; but it does not start without a key where one is needed.
    """
    database = Database(settings.database_url)
    try:
        status = schema_status(database.reader)
        if status.can_migrate and database.writer.dialect.name == "sqlite":
            migrate(database)
            status = SchemaStatus.CURRENT
        if status != SchemaStatus.CURRENT:
            log.warning("%s", status.description)
        elif settings.key_needed():
            with database.reading() as session:
                if not api_keys.any_active(session):
                    sys.exit(_no_key(settings))
    except DBAPIError as error:
        if database.writer.dialect.name == "sqlite":
            sys.exit(f"the database cannot be opened: {error.orig}")
        log.warning("the database does not answer yet: %s", error.orig)
    finally:
        database.close()


def _no_key(settings: ServiceSettings) -> str:
    """Why it does not start without one, and what helps."""
    make = "and there is none. Make one: python -m service key create --scope write"
    if settings.require_key:
        return f"NORMLAB_REQUIRE_KEY=true takes an API key, {make}"
    return (
        f"to serve on {settings.host} takes an API key, {make}; or, where something else guards the door, set "
        "NORMLAB_ALLOW_REMOTE_WITHOUT_KEY=true"
    )


def _collect_garbage_seldom() -> None:
    """What is imported stays for ever and need not be looked through again: that took a quarter of a request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _listen(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        sys.exit(f"cannot serve on {settings.host}:{settings.port}: {error.strerror}; try another --port")
    listening.listen(1024)
    return listening
