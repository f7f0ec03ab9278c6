"""`python -m service`: serve, on a migrated database, with one local worker unless told otherwise."""

import argparse
import logging
import signal
import socket
import sys
from contextlib import nullcontext
from typing import Any

import uvicorn
from sqlalchemy.exc import DBAPIError

from service.app import create_app
from service.experiments.database import Database
from service.experiments.schema import is_at_head, migrate
from service.local_worker import LocalWorker
from service.settings import ServiceSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.add_argument("--host", help="default: NORMLAB_HOST, else 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: NORMLAB_PORT, else 8000; 0 for any that is free")
    parser.add_argument("--no-worker", action="store_true", help="keep no local worker")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)

    given = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
    settings = ServiceSettings.read(**given)
    _ready_the_database(settings)
    listening = _listen(settings)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", server_header=False))

    def stop(number: int, frame: Any) -> None:
        server.should_exit = True

    # Until uvicorn heeds these itself, and when it raises them again at its end, with only the worker left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    keeps_worker = settings.local_worker and not arguments.no_worker
    with LocalWorker(settings) if keeps_worker else nullcontext():
        # The socket listens already: who connects from here on is served as soon as the application runs.
        print(f"normlab serves on http://{settings.host}:{listening.getsockname()[1]}", flush=True)
        server.run([listening])


def _ready_the_database(settings: ServiceSettings) -> None:
    """Migrate a SQLite file; of a PostgreSQL, which others may be using, only see that it is migrated."""
    database = Database(settings.database_url)
    try:
        if database.writer.dialect.name == "sqlite":
            migrate(database)
        elif not is_at_head(database.reader):
            sys.exit("the database is not at the newest schema; run: python -m migrations")
    except DBAPIError as error:
        sys.exit(f"the database does not answer: {error.orig}")
    finally:
        database.close()


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


if __name__ == "__main__":
    main()
