"""`python -m service backup FILE`: SQLite's online backup, whole whatever is written meanwhile, and checked."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import make_url

from normlab.process.settings import DatabaseSettings
from normlab.store.sqlite_file import sqlite

SECRETS = ("password", "secret", "scram")  # in the names of a connection's options that are not shown


def back_up(file: Path) -> str | None:
    """Copy the database of NORMLAB_DATABASE_URL; returns what stood in the way, if anything did."""
    url = make_url(DatabaseSettings.read().database_url)
    if url.get_backend_name() != "sqlite":
        # SQLAlchemy hides the password before the host; libpq takes such from the options, too.
        secret = [name for name in url.query if any(word in name.lower() for word in SECRETS)]
        shown = url.set(drivername="postgresql").difference_update_query(secret).render_as_string(hide_password=True)
        return f"PostgreSQL has a command of its own for this:\n  pg_dump --format=custom --file={file} '{shown}'"
    if not url.database or not Path(url.database).exists():
        return f"there is no database {url.database}"
    if file.exists():
        return f"{file} is there already; name a new file"
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        address = f"file:{quote(str(Path(url.database).resolve()))}?mode=ro"
        with closing(sqlite.connect(address, uri=True)) as source, closing(sqlite.connect(partial)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, which needs no other
            unsound = _unsound(copy)
        if unsound:
            return f"the copy is not sound: {unsound}"
        os.link(partial, file)  # unlike a renaming, this overwrites nothing
    except (sqlite.Error, OSError) as error:
        return f"no backup was made: {error}"
    finally:
        partial.unlink(missing_ok=True)
    print(f"{file}: {file.stat().st_size:,} bytes, sound")
    return None


def _unsound(copy: Any) -> str | None:
    said: str = copy.execute("PRAGMA integrity_check").fetchone()[0]
    return None if said == "ok" else said
