"""`python -m migrations`: bring the database of NORMLAB_DATABASE_URL to the newest schema."""

from service.experiments.database import Database
from service.experiments.schema import migrate
from service.experiments.settings import DatabaseSettings


def main() -> None:
    """Migrate, and say so."""
    database = Database(DatabaseSettings().database_url)
    migrate(database)
    database.close()
    print("the database is at the newest schema")


if __name__ == "__main__":
    main()
