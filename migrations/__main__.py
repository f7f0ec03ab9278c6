"""`python -m migrations`: bring the database of NORMLAB_DATABASE_URL to the newest schema."""

import sys

from sqlalchemy.exc import DBAPIError

from normlab.process.command_line import CommandParser
from normlab.process.settings import DatabaseSettings
from normlab.store.database import Database
from normlab.store.database_summary import summary
from normlab.store.schema import SchemaStatus, migrate, schema_status


def main() -> None:
    """Migrate the database. Exits with a message if its schema is newer or it does not answer."""
    CommandParser(
        prog="python -m migrations",
        description="Bring the database of NORMLAB_DATABASE_URL to the newest schema.",
    ).parse_args()
    settings = DatabaseSettings.read()
    database = Database(settings.database_url)
    try:
        print(f"database {summary(database, default=settings.default_database)}", file=sys.stderr)
        if schema_status(database.reader) == SchemaStatus.NEWER:
            sys.exit(f"database {database.location}: {SchemaStatus.NEWER.description}")
        migrate(database)
    except DBAPIError as error:
        sys.exit(f"database {database.location} does not answer: {error.orig}")
    finally:
        database.close()
    print(f"database {database.location} has the newest schema")


if __name__ == "__main__":
    main()
