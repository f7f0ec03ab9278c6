"""Real databases: a SQLite file, and a PostgreSQL server from the pgserver wheel."""

import os
import uuid

import pytest
from sqlalchemy import create_engine, text

from normlab.store.database import Database
from normlab.store.schema import migrate


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The address of a PostgreSQL server's first database."""
    # The wheel uses the runtime directory and warns if there is none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    import pgserver

    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def unmigrated_postgres_url(postgres):
    """The address of a new database without a schema, on PostgreSQL."""
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
    """The address of a new database without a schema, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'normlab.db'}"
    return request.getfixturevalue("unmigrated_postgres_url")


@pytest.fixture
def database(unmigrated_url):
    """A migrated database, on SQLite and on PostgreSQL."""
    yield from _migrated(unmigrated_url)


@pytest.fixture
def postgresql(unmigrated_postgres_url):
    """A migrated database on PostgreSQL, for what SQLite does not have."""
    yield from _migrated(unmigrated_postgres_url)


def _migrated(url):
    database = Database(url)
    migrate(database)
    yield database
    database.close()
