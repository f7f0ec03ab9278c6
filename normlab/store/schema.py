"""The database's schema: migrate it, and compare its revision with the one that this code needs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from normlab.store.database import Database
from normlab.store.sqlite_engine import FILE_OPTION

MIGRATION_LOCK = 7411018  # the number of PostgreSQL's advisory lock; any number that nothing else uses

logging.getLogger("alembic").setLevel(logging.WARNING)  # at INFO it logs every reading of the revision


class SchemaStatus(Enum):
    """The database's schema beside the one this code needs. The value is a sentence that says what to do."""

    CURRENT = "The database has the schema that this normlab needs."
    MISSING = "The database has no schema yet: run python -m migrations."
    OLDER = "The database's schema is older than this normlab needs: run python -m migrations."
    NEWER = "The database's schema is newer than this normlab: run a newer normlab."

    @property
    def description(self) -> str:
        """The sentence."""
        return self.value

    @property
    def can_migrate(self) -> bool:
        """Whether `migrate` brings the schema to the current one."""
        return self in (SchemaStatus.MISSING, SchemaStatus.OLDER)


def migrate(database: Database) -> None:
    """Bring the schema to the newest revision. Processes that migrate at once wait for each other, without a limit."""
    with migrating(database) as config:
        command.upgrade(config, "head")


@contextmanager
def migrating(database: Database) -> Iterator[Config]:
    """Yield Alembic's configuration with a connection that holds the migrations' lock. Commit at the end."""
    config = _alembic_config()
    with database.writer.connect() as connection, _prepared(connection):
        if connection.dialect.name == "postgresql":
            connection.execution_options(no_timeout=True)  # altering a large table takes its time
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        # On SQLite the transaction's BEGIN IMMEDIATE is the lock.
        config.attributes["connection"] = connection
        yield config
        connection.commit()


def schema_status(engine: Engine) -> SchemaStatus:
    """Read the schema's revision and compare it with those that this code knows."""
    newest, known = _revisions()
    revision = schema_revision(engine)
    if revision is None:
        return SchemaStatus.MISSING
    if revision == newest:
        return SchemaStatus.CURRENT
    return SchemaStatus.OLDER if revision in known else SchemaStatus.NEWER


def schema_revision(engine: Engine) -> str | None:
    """Read the schema's revision. Return None if there is no schema or, on SQLite, no file. This makes no file."""
    file = engine.get_execution_options().get(FILE_OPTION)
    if file is not None and file.is_absent():
        return None
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """Return the newest revision, and all revisions that this code knows."""
    scripts = ScriptDirectory.from_config(_alembic_config())
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def _alembic_config() -> Config:
    """Return Alembic's configuration: where the migrations are."""
    config = Config()
    config.set_main_option("script_location", "migrations:")
    return config


@contextmanager
def _prepared(connection: Connection) -> Iterator[None]:
    """On SQLite, wait for locks without a limit, and do not enforce foreign keys.

    SQLite alters a table by dropping the old one, which would delete the rows that refer to it.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    # The driver's connection, because SQLite changes foreign_keys only before SQLAlchemy's BEGIN and after its COMMIT.
    driver = connection.connection
    ((busy_timeout,),) = driver.execute("PRAGMA busy_timeout").fetchall()
    driver.execute(f"PRAGMA busy_timeout = {2**31 - 1}")
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        connection.rollback()  # what a failed migration has left open
        driver.execute("PRAGMA foreign_keys = ON")
        driver.execute(f"PRAGMA busy_timeout = {busy_timeout}")
