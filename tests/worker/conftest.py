"""A migrated SQLite database, which is enough where the kind of database does not matter."""

import pytest

from normlab.store.database import Database
from normlab.store.schema import migrate


@pytest.fixture
def sqlite(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    migrate(database)
    yield database
    database.close()
