"""Real databases for every test that asks: a SQLite file, and a PostgreSQL from the pgserver wheel."""

import os
import uuid

import pytest
from sqlalchemy import create_engine, text

from normlab.store.database import Database
from normlab.store.schema import migrate


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The address of a PostgreSQL server's first database."""
    # The wheel asks for a runtime directory and warns if there is none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    import pgserver

    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def unmigrated_postgres_url(postgres):
    """A database of its own, empty."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server = create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres.replace("/postgres?", f"/{name}?")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def unmigrated_url(request, tmp_path):
    """An empty database's address, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'normlab.db'}"
    return request.getfixturevalue("unmigrated_postgres_url")


@pytest.fixture
def database(unmigrated_url):
    """A migrated database, of each kind."""
    yield from _migrated(unmigrated_url)


@pytest.fixture
def postgresql(unmigrated_postgres_url):
    """A migrated database of PostgreSQL, for what SQLite has nothing like."""
    yield from _migrated(unmigrated_postgres_url)


def _migrated(url):
    made = Database(url)
    migrate(made)
    yield made
    made.close()
