"""What a process says of its database at its start: where it is, its schema, and how many experiments it holds."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from normlab.process.database_address import SQLiteAddress, sqlite_url
from normlab.store.database import Database
from normlab.store.schema import schema_revision
from normlab.store.sqlite_file import sqlite

MAX_FILES = 50  # of one folder that are opened to see whether they are databases of normlab
MAX_NAMED = 3


def is_absent(database: Database) -> bool:
    """Return whether the database is a SQLite file that does not exist. A connection would make an empty one."""
    return isinstance(database.address, SQLiteAddress) and not database.address.path.exists()


def summary(database: Database, *, default: Path) -> str:
    """Return one line: the path or the name and host, the schema's revision, and the number of experiments.

    default: the file that is used if no address is set. It is named if the database does not exist and this one does.
    Raises DBAPIError if the database does not answer.
    """
    if is_absent(database):
        return f"{database.location} does not exist yet{_others(database, default)}"
    if (revision := schema_revision(database.reader)) is None:
        return f"{database.location}: no schema yet{_others(database, default)}"
    with suppress(DBAPIError), database.reader.connect() as connection:  # a newer schema may have other tables
        count = connection.execute(text("SELECT count(*) FROM experiments")).scalar_one()
        return f"{database.location}: schema {revision}, {_experiments(count)}"
    return f"{database.location}: schema {revision}"


def _others(database: Database, default: Path) -> str:
    """Return which other SQLite databases of normlab there are. One of them may be the one that was meant."""
    if not isinstance(database.address, SQLiteAddress):
        return ""
    path = database.address.path
    files = (file for file in _candidates(path, default) if file != path)
    counts = {file: count for file in files if (count := _count(file)) is not None}
    if not counts:
        return ""
    largest = sorted(counts, key=lambda file: counts[file], reverse=True)[:MAX_NAMED]
    named = ", ".join(f"{SQLiteAddress(file).location} ({_experiments(counts[file])})" for file in largest)
    return f"; other databases: {named}. To use the first one set NORMLAB_DATABASE_URL={sqlite_url(largest[0])}"


def _candidates(path: Path, default: Path) -> Iterator[Path]:
    """Yield the default file and what a misspelt file, a misspelt folder or another working directory would miss."""
    yield default
    for folder, pattern in (
        (path.parent, "*.db"), (path.parent.parent, f"*/{path.name}"), (Path.cwd(), "*.db"), (Path.cwd(), "*/*.db"),
    ):  # fmt: skip
        with suppress(OSError):
            yield from islice(folder.glob(pattern), MAX_FILES)


def _count(file: Path) -> int | None:
    """Return the number of experiments in a SQLite file. None if it is no database of normlab."""
    with suppress(sqlite.Error, OSError):
        if file.is_file():
            # A reader of a database that nobody uses would leave a -wal and a -shm file beside it.
            in_use = file.with_name(f"{file.name}-wal").exists()
            address = f"file:{quote(os.fsencode(file))}?{'mode=ro' if in_use else 'immutable=1'}"
            with closing(sqlite.connect(address, uri=True, timeout=1.0)) as connection:
                count: int = connection.execute("SELECT count(*) FROM experiments").fetchone()[0]
                return count
    return None


def _experiments(count: int) -> str:
    return "1 experiment" if count == 1 else f"{count:,} experiments"
