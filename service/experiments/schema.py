"""The database's schema: brought to head, and asked whether it is the one we know. Its steps are in migrations/."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from service.experiments.database import Database

# At INFO it writes lines at every mere look at the revision.
logging.getLogger("alembic").setLevel(logging.WARNING)


def migrate(database: Database) -> None:
    """Bring the schema to head; one process at a time, the others wait, however long, and find it done."""
    config = _config()
    with database.writer.connect() as connection, _prepared(connection):
        if connection.dialect.name == "postgresql":
            connection.execution_options(unhurried=True)  # to alter a large table takes its time, too
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7411018)")
        # SQLite's writer holds the file's write lock from its BEGIN on, which is all the lock that is needed.
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def trouble(engine: Engine) -> str | None:
    """Why the database's schema is not the one this code was written for; None if it is."""
    head, known = _steps()
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision == head:
        return None
    if revision is not None and revision not in known:
        return (
            f"the database's schema, revision {revision}, is newer than this normlab, which knows up to {head}: "
            "run a newer normlab"
        )
    return (
        f"the database's schema, {revision or 'none yet'}, is older than this normlab, which needs {head}: "
        "run python -m migrations"
    )


@cache
def _steps() -> tuple[str | None, frozenset[str]]:
    """The newest revision, and all that this code knows."""
    steps = ScriptDirectory.from_config(_config())
    return steps.get_current_head(), frozenset(step.revision for step in steps.walk_revisions())


@contextmanager
def _prepared(connection: Connection) -> Iterator[None]:
    """SQLite waits for its turn without end, and heeds no references: it alters a table by dropping the old one, and
    what refers to it would be deleted with it.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    plain = connection.connection  # SQLite heeds the latter outside of transactions only, so before SQLAlchemy's BEGIN
    ((patience,),) = plain.execute("PRAGMA busy_timeout").fetchall()
    plain.execute(f"PRAGMA busy_timeout = {2**31 - 1}")
    plain.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        plain.execute("PRAGMA foreign_keys = ON")
        plain.execute(f"PRAGMA busy_timeout = {patience}")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "migrations:")
    return config
