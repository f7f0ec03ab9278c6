"""SQLite's file when it is removed, replaced, or read-only as it is opened."""

import shutil
import time

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from normlab.store.database import Database
from normlab.store.models import Experiment
from normlab.store.schema import migrate
from service.backup import back_up
from tests.experiments import enqueue


@pytest.fixture
def database(tmp_path):
    """A SQLite database with one experiment."""
    database = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    migrate(database)
    enqueue(database)
    yield database
    database.close()


def count(database):
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Experiment))


def test_removed_file_is_neither_read_nor_written(database, tmp_path):
    """After the file was removed every use raises, and no new file is made. When it is back, it is used again."""
    file, aside = tmp_path / "normlab.db", tmp_path / "aside.db"
    file.rename(aside)
    for use in (enqueue, count):
        with pytest.raises(OperationalError, match="was removed or replaced"):
            use(database)
    assert not file.exists()
    aside.rename(file)
    enqueue(database)
    assert count(database) == 2


def test_replaced_file_is_neither_read_nor_written(database, tmp_path, monkeypatch):
    """After another file replaced it every use raises, and the other file is unchanged."""
    monkeypatch.setenv("NORMLAB_DATABASE_URL", database.url)
    file, copy = tmp_path / "normlab.db", tmp_path / "copy.db"
    assert back_up(copy) is None
    shutil.copy(copy, tmp_path / "again.db")
    copy.rename(file)
    for use in (enqueue, count):
        with pytest.raises(OperationalError, match="was removed or replaced"):
            use(database)
    assert file.read_bytes() == (tmp_path / "again.db").read_bytes()


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_unusable_file_raises_at_once(tmp_path, suffix):
    """A connection to a file that SQLite cannot use raises at once. It waits for a locked file only."""
    tmp_path.joinpath("normlab.db").touch()
    tmp_path.joinpath(f"normlab.db{suffix}").mkdir()
    database = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    began = time.monotonic()
    with pytest.raises(OperationalError, match=r"unable to open database file|disk I/O error"):
        count(database)
    assert time.monotonic() - began < 5, "a lock is waited for 15 s"
    database.close()


def test_read_only_connection_is_replaced(database):
    """A connection that cannot write, because the file was read-only when it was opened, is used once and closed."""
    connection = database.writer.raw_connection()
    connection.execute("PRAGMA query_only = ON")  # the state of a connection to a file that was read-only
    connection.close()
    with pytest.raises(OperationalError, match="readonly"):
        enqueue(database)
    enqueue(database)
    assert count(database) == 2
