"""`python -m service key create | list | revoke`: the keys of NORMLAB_DATABASE_URL's database."""

import argparse
import sys
from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError

from service.experiments import keys
from service.experiments.database import Database
from service.experiments.schema import migrate, trouble
from service.experiments.settings import DatabaseSettings


def describe(parser: argparse.ArgumentParser) -> None:
    """What may be said on the command line."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="")
    create = verbs.add_parser("create", help="make one; it is printed once and kept nowhere")
    create.add_argument("--scope", choices=["read", "write"], required=True, help="write may do everything")
    create.add_argument("--name", default="", help="to tell it by in the list")
    verbs.add_parser("list", help="those there are, without their secrets")
    verbs.add_parser("revoke", help="make one good for nothing, from its next request on").add_argument("id")


def run(arguments: argparse.Namespace) -> None:
    """Do it. Exits, saying why, if that cannot be."""
    database = Database(DatabaseSettings.read().database_url)
    try:
        found = trouble(database.reader)
        if found is not None and "newer" not in found and database.writer.dialect.name == "sqlite":
            migrate(database)
        elif found is not None:
            sys.exit(found)
        with database.writing.begin() as session:
            match arguments.verb:
                case "create":
                    print(keys.create(session, arguments.scope, arguments.name[:64]))
                case "revoke":
                    if not keys.revoke(session, arguments.id):
                        sys.exit(f"there is no key {arguments.id}; `python -m service key list` has those there are")
                case _:
                    for row in keys.listed(session):
                        made = datetime.fromtimestamp(row.created_at, UTC)
                        state = "good" if row.revoked_at is None else "revoked"
                        print(f"{row.id}  {row.scope:5}  {state:7}  {made:%Y-%m-%d %H:%M}  {row.name}")
    except DBAPIError as error:
        sys.exit(f"the database does not answer: {error.orig}")
    finally:
        database.close()
