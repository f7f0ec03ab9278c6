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
from normlab.store.models import ApiKeyRow
from normlab.store.schema import SchemaStatus, migrate, schema_status


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their arguments to the parser."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="")
    create = verbs.add_parser("create", help="create an API key; it is printed once and stored as a hash only")
    create.add_argument(
        "--scope", choices=["read", "write"], required=True, help="read: may read; write: may do everything"
    )
    create.add_argument("--name", type=_printable, default="", help="a name for the list")
    verbs.add_parser("list", help="list the API keys without their secrets")
    revoke = verbs.add_parser("revoke", help="revoke an API key; its next request is refused")
    revoke.add_argument("id", type=_printable)


def run(arguments: argparse.Namespace) -> None:
    """Run the verb. Exits with a message if it fails."""
    database = Database(DatabaseSettings.read().database_url)
    try:
        status = schema_status(database.reader)
        if status.can_migrate and database.writer.dialect.name == "sqlite":
            migrate(database)
        elif status != SchemaStatus.CURRENT:
            sys.exit(status.description)
        with database.writing.begin() as session:
            lines = _run(session, arguments)
        for line in lines:  # after the commit, since an API key that is not committed is not valid
            print(line)
    except DBAPIError as error:
        sys.exit(f"the database does not answer: {error.orig}")
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


def _printable(text: str) -> str:
    """Check an argument: a name is printed in one line of the list, and bytes that are no text cannot be stored."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError("expected printable characters, without control characters or line breaks")
    return text
