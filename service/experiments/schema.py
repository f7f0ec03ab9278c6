"""The database's schema: brought to head, and asked whether it is there. The steps themselves are in migrations/."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from service.experiments.database import Database

# At INFO it writes lines at every mere look at the revision.
logging.getLogger("alembic").setLevel(logging.WARNING)


def migrate(database: Database) -> None:
    """Bring the schema to head; one process at a time, the others wait and find it done."""
    config = _config()
    with database.writer.connect() as connection, _references_unheeded(connection):
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7411018)")
        # SQLite's writer holds the file's write lock from its BEGIN on, which is all the lock that is needed.
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def is_at_head(engine: Engine) -> bool:
    """Whether the database's schema is the one this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head


@contextmanager
def _references_unheeded(connection: Connection) -> Iterator[None]:
    """SQLite alters a table by dropping the old one, and what refers to it would be deleted with it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    plain = connection.connection  # SQLite heeds the pragma outside of transactions only, so before SQLAlchemy's BEGIN
    plain.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        plain.execute("PRAGMA foreign_keys = ON")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "migrations:")
    return config
