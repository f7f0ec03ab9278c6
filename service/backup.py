"""`python -m service backup FILE`: a checked copy of a SQLite database, by SQLite's online backup.

Other processes may read and write the database meanwhile.
"""

import os
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import make_url

from normlab.process.settings import DatabaseSettings
from normlab.store.sqlite_file import sqlite

SECRETS = ("password", "secret", "scram")  # connection options with these words in their names are not printed


def back_up(file: Path) -> str | None:
    """Copy the database of NORMLAB_DATABASE_URL to the file. Return an error message, or None."""
    url = make_url(DatabaseSettings.read().database_url)
    if url.get_backend_name() != "sqlite":
        # SQLAlchemy hides the password in front of the host. libpq also accepts secrets as options.
        secret = [name for name in url.query if any(word in name.lower() for word in SECRETS)]
        shown = url.set(drivername="postgresql").difference_update_query(secret).render_as_string(hide_password=True)
        return f"use PostgreSQL's own command:\n  pg_dump --format=custom --file={file} '{shown}'"
    if not url.database or not Path(url.database).exists():
        return f"there is no database {url.database}"
    if file.exists():
        return f"{file} exists already; name a new file"
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        address = f"file:{quote(str(Path(url.database).resolve()))}?mode=ro"
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


def _damage(copy: Any) -> str | None:
    """Return the first error that SQLite's integrity check finds, or None."""
    result: str = copy.execute("PRAGMA integrity_check").fetchone()[0]
    return None if result == "ok" else result
