"""`python -m migrations`: bring the database of NORMLAB_DATABASE_URL to the newest schema."""

import sys

from sqlalchemy.exc import DBAPIError

from service.experiments.database import Database
from service.experiments.schema import migrate, trouble
from service.experiments.settings import DatabaseSettings


def main() -> None:
    """Migrate, and say so."""
    database = Database(DatabaseSettings.read().database_url)
    try:
        if (found := trouble(database.reader)) is not None and "newer" in found:
            sys.exit(found)
        migrate(database)
    except DBAPIError as error:
        sys.exit(f"the database does not answer: {error.orig}")
    finally:
        database.close()
    print("the database is at the newest schema")


if __name__ == "__main__":
    main()
