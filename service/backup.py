"""`python -m service backup FILE`: a checked copy of a SQLite database, by SQLite's online backup.

Other processes may read and write the database meanwhile.
"""

import os
import sys
from contextlib import closing
from pathlib import Path
from shlex import quote as quote_word
from typing import Any
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.exc import DBAPIError

from normlab.process.database_address import PostgreSQLAddress
from normlab.process.settings import DatabaseSettings
from normlab.store.database import Database
from normlab.store.database_summary import is_absent, summary
from normlab.store.sqlite_file import sqlite

SECRETS = ("password", "secret", "scram")  # connection options with these words in their names are not printed


def back_up(file: Path) -> str | None:
    """Copy the database of NORMLAB_DATABASE_URL to the file. Return an error message, or None."""
    settings = DatabaseSettings.read()
    database = Database(settings.database_url)
    if isinstance(database.address, PostgreSQLAddress):
        conninfo = _without_secrets(database.address)
        return f"use PostgreSQL's own command:\n  pg_dump --format=custom --file={quote_word(str(file))} {conninfo}"
    if is_absent(database):
        return f"there is no database {summary(database, default=settings.default_database)}"
    try:
        print(f"database {summary(database, default=settings.default_database)}", file=sys.stderr)
    except DBAPIError as error:
        return f"the backup failed: {error.orig}"
    finally:
        database.close()
    if file.exists():
        return f"{file} exists already; name a new file"
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        address = f"file:{quote(os.fsencode(database.address.path))}?mode=ro"
        with closing(sqlite.connect(address, uri=True)) as source, closing(sqlite.connect(partial)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # the copy is one file, without a -wal file beside it
            damage = _damage(copy)
        if damage:
            return f"the copy is damaged: {damage}"
        os.link(partial, file)  # unlike a rename, a link never overwrites a file
    except (sqlite.Error, OSError) as error:
        return f"the backup failed: {error}"
    finally:
        partial.unlink(missing_ok=True)
    print(f"{file}: {file.stat().st_size:,} bytes, integrity checked")
    return None


def _without_secrets(address: PostgreSQLAddress) -> str:
    """Return the address as one word for a shell, in libpq's other form: its options without those that are secret."""
    options = conninfo_to_dict(address.uri)
    shown = {name: value for name, value in options.items() if not any(word in name for word in SECRETS)}
    return quote_word(make_conninfo("", **shown))


def _damage(copy: Any) -> str | None:
    """Return the first error that SQLite's integrity check finds, or None."""
    result: str = copy.execute("PRAGMA integrity_check").fetchone()[0]
    return None if result == "ok" else result
