"""The line about a database at the start of a process, and the other database that it names."""

import shutil

import pytest

from normlab.process.database_address import sqlite_url
from normlab.store.database import Database
from normlab.store.database_summary import summary
from normlab.store.schema import schema_revision, schema_status
from tests.experiments import enqueue
from tests.migrations.revisions import upgrade
from tests.service.test_readiness import set_revision


@pytest.fixture
def stored(tmp_path, migrated_sqlite):
    """The path of a SQLite database with two experiments, in a folder of its own."""
    folder = tmp_path / "lab"
    folder.mkdir()
    database = Database(sqlite_url(shutil.copy(migrated_sqlite, folder / "normlab.db")))
    enqueue(database)
    enqueue(database)
    database.close()
    return folder / "normlab.db"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory."""
    folder = tmp_path / "elsewhere" / "deeper"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


class TestSummary:
    """The line about a database."""

    def test_names_place_schema_and_experiments(self, database, tmp_path):
        """The line has the path or the name and host, the schema's revision, and the number of experiments."""
        revision = schema_revision(database.reader)
        assert summary(database, default=tmp_path / "x") == f"{database.location}: schema {revision}, 0 experiments"
        enqueue(database)
        assert summary(database, default=tmp_path / "x").endswith(f": schema {revision}, 1 experiment")

    def test_older_schema(self, unmigrated_url, tmp_path):
        """A database with an older schema is counted too, and one without a schema is called that."""
        database = Database(unmigrated_url)
        database.writer.connect().close()
        assert summary(database, default=tmp_path / "x").startswith(f"{database.location}: no schema yet")
        upgrade(database, "0003")
        assert summary(database, default=tmp_path / "x") == f"{database.location}: schema 0003, 0 experiments"
        database.close()

    def test_newer_schema_without_the_table(self, database, tmp_path):
        """A newer schema that has no such table has no number of experiments."""
        set_revision(database, "9999")
        with database.writer.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE experiments RENAME TO runs")
        assert summary(database, default=tmp_path / "x") == f"{database.location}: schema 9999"


class TestOtherDatabases:
    """A SQLite database that does not exist, beside one that does."""

    @pytest.mark.parametrize("misspelt", ["lab/normalb.db", "labb/normlab.db", "other/path/x.db"])
    def test_existing_one_is_named(self, stored, elsewhere, tmp_path, misspelt):
        """The misspelt path of a file or folder, or another path than the default one, names the existing database."""
        default = stored if misspelt.startswith("other") else tmp_path / "nothing.db"
        database = Database(sqlite_url(tmp_path / misspelt))
        assert summary(database, default=default) == (
            f"{tmp_path / misspelt} does not exist yet; other databases: {stored} (2 experiments). "
            f"To use the first one set NORMLAB_DATABASE_URL={sqlite_url(stored)}"
        )
        assert not (tmp_path / misspelt).exists()
        assert list(stored.parent.iterdir()) == [stored]

    def test_one_in_use_and_without_experiments_is_named(self, sqlite, elsewhere, tmp_path):
        """A database that a service has just made, and still uses, is named although it holds no experiment."""
        with sqlite.reader.connect():
            database = Database(sqlite_url(tmp_path / "normalb.db"))
            assert f"{sqlite.location} (0 experiments)" in summary(database, default=tmp_path / "nothing.db")

    def test_one_below_the_working_directory_is_named(self, stored, tmp_path, monkeypatch):
        """A database below the folder that the process started in is named if another one would be made."""
        monkeypatch.chdir(tmp_path)
        database = Database(sqlite_url(tmp_path / "home" / "data" / "new.db"))
        assert f"other databases: {stored} (2 experiments)" in summary(database, default=tmp_path / "nothing.db")

    def test_files_that_are_no_databases_are_not_named(self, elsewhere, tmp_path):
        """Other files and folders are not named, and no file is made beside them."""
        for name, content in (("a.db", b""), ("b.db", b"no database" * 1000)):
            (tmp_path / name).write_bytes(content)
        (tmp_path / "c.db").mkdir()
        database = Database(sqlite_url(tmp_path / "new.db"))
        assert summary(database, default=tmp_path / "d.db") == f"{tmp_path / 'new.db'} does not exist yet"
        assert {path.name for path in tmp_path.iterdir()} == {"a.db", "b.db", "c.db", "elsewhere"}

    def test_reading_the_schema_makes_no_file(self, tmp_path):
        """Neither the line nor the schema's status makes a database."""
        database = Database(sqlite_url(tmp_path / "a" / "n.db"))
        summary(database, default=tmp_path / "x")
        assert schema_status(database.reader).can_migrate
        assert list(tmp_path.iterdir()) == []
