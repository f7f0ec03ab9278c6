"""`python -m service key create | list | revoke`: the keys of NORMLAB_DATABASE_URL's database."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from normlab.process.settings import DatabaseSettings
from normlab.store import api_keys
from normlab.store.database import Database
from normlab.store.models import ApiKeyRow
from normlab.store.schema import SchemaStatus, migrate, schema_status


def run(arguments: argparse.Namespace) -> None:
    """Do it. Exits, saying why, if that cannot be."""
    database = Database(DatabaseSettings.read().database_url)
    try:
        status = schema_status(database.reader)
        if status.can_migrate and database.writer.dialect.name == "sqlite":
            migrate(database)
        elif status != SchemaStatus.CURRENT:
            sys.exit(status.description)
        with database.writing.begin() as session:
            told = _done(session, arguments)
        for line in told:  # only now: until it is committed, a key is none
            print(line)
    except DBAPIError as error:
        sys.exit(f"the database does not answer: {error.orig}")
    finally:
        database.close()


def _done(session: Session, arguments: argparse.Namespace) -> Sequence[str]:
    """What is to be told of it, a line each."""
    match arguments.verb:
        case "create":
            return [api_keys.create(session, arguments.scope, arguments.name[:64])]
        case "revoke":
            if not api_keys.revoke(session, arguments.id):
                sys.exit(f"there is no key {arguments.id}; `python -m service key list` has those there are")
            return []
        case _:
            return [_in_a_line(row) for row in api_keys.all_keys(session)]


def _in_a_line(row: ApiKeyRow) -> str:
    made = datetime.fromtimestamp(row.created_at, UTC)
    state = "good" if row.revoked_at is None else "revoked"
    return f"{row.id}  {row.scope:5}  {state:7}  {made:%Y-%m-%d %H:%M}  {row.name}"
