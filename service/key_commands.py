"""`python -m service key create | list | revoke`: the API keys in the database of NORMLAB_DATABASE_URL."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from normlab.process.settings import DatabaseSettings
from normlab.store import api_keys
from normlab.store.database import Database
from normlab.store.database_summary import is_absent, summary
from normlab.store.models import ApiKeyRow
from normlab.store.schema import SchemaStatus, migrate, schema_status


def run(arguments: argparse.Namespace) -> None:
    """Run the verb. Exits with a message if it fails."""
    settings = DatabaseSettings.read()
    database = Database(settings.database_url)
    try:
        line = f"database {summary(database, default=settings.default_database)}"
        if is_absent(database) and arguments.verb != "create":
            sys.exit(line)
        print(line, file=sys.stderr)
        status = schema_status(database.reader)
        if status.can_migrate and database.writer.dialect.name == "sqlite":
            migrate(database)
        elif status != SchemaStatus.CURRENT:
            sys.exit(f"database {database.location}: {status.description}")
        with database.writing.begin() as session:
            lines = _run(session, arguments)
        for line in lines:  # after the commit, since an API key that is not committed is not valid
            print(line)
    except DBAPIError as error:
        sys.exit(f"database {database.location} does not answer: {error.orig}")
    finally:
        database.close()


def _run(session: Session, arguments: argparse.Namespace) -> Sequence[str]:
    """Run the verb and return the lines to print."""
    match arguments.verb:
        case "create":
            return [api_keys.create(session, arguments.scope, arguments.name[:64])]
        case "revoke":
            if not api_keys.revoke(session, arguments.id):
                sys.exit(f"there is no API key {arguments.id}; `python -m service key list` lists them")
            return []
        case _:
            return [_line(row) for row in api_keys.all_keys(session)]


def _line(row: ApiKeyRow) -> str:
    created = datetime.fromtimestamp(row.created_at, UTC)
    state = "active" if row.revoked_at is None else "revoked"
    return f"{row.id}  {row.scope:5}  {state:7}  {created:%Y-%m-%d %H:%M}  {row.name}"
