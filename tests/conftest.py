"""Real databases for the tests: a SQLite file, and a PostgreSQL from the pgserver wheel.

A schema is migrated once in each process that runs tests; every test has a copy of its own.
"""

import os
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from normlab.store.database import Database
from normlab.store.schema import migrate

# What torch.compile writes outlives the test run and the machine's next start, so that a second run need not compile.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "normlab-tests", "torchinductor")),
)


@pytest.fixture(scope="session")
def postgres():
    """The address of a PostgreSQL server's first database."""
    # Outside pytest's folder: pytest makes that private again whenever it starts, and the server is another user.
    with tempfile.TemporaryDirectory(prefix="normlab-") as folder:
        # The wheel asks for a runtime directory and warns if there is none.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        import pgserver

        server = pgserver.get_server(Path(folder, "postgres"))
        # Creating a database is several times faster without waiting for the disk. Only a loss of power would show the
        # difference: the tests that kill a server start one of their own.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory):
    """The path of a migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "normlab.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres):
    """The name of a migrated PostgreSQL database, to be copied."""
    with _postgres_database(postgres) as url:
        _migrate(url)
        yield make_url(url).database


@pytest.fixture
def unmigrated_postgres_url(postgres):
    """The address of an empty PostgreSQL database."""
    with _postgres_database(postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def unmigrated_url(request, tmp_path):
    """The address of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'normlab.db'}"
    return request.getfixturevalue("unmigrated_postgres_url")


@pytest.fixture
def sqlite(tmp_path, migrated_sqlite):
    """A migrated SQLite database."""
    path = shutil.copy(migrated_sqlite, tmp_path)
    yield from _opened(f"sqlite:///{path}")


@pytest.fixture
def postgresql(postgres, migrated_postgres):
    """A migrated PostgreSQL database."""
    with _postgres_database(postgres, template=migrated_postgres) as url:
        yield from _opened(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """A migrated database, of each kind."""
    return request.getfixturevalue(request.param)


@contextmanager
def _postgres_database(server_url, template="template1"):
    name = f"test_{uuid.uuid4().hex[:12]}"
    server = create_engine(server_url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server_url.replace("/postgres?", f"/{name}?")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def _migrate(url):
    database = Database(url)
    migrate(database)
    database.close()


def _opened(url):
    database = Database(url)
    yield database
    database.close()
