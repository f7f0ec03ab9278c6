"""SQLite's file under our feet: removed, replaced, or not to be written when it was opened."""

import shutil

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
    made = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    migrate(made)
    enqueue(made)
    yield made
    made.close()


def count(database):
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Experiment))


def test_who_has_a_file_that_is_removed_acknowledges_nothing_until_it_is_back(database, tmp_path):
    file, aside = tmp_path / "normlab.db", tmp_path / "aside.db"
    file.rename(aside)
    for use in (enqueue, count):
        with pytest.raises(OperationalError, match="was removed or replaced"):
            use(database)
    assert not file.exists()
    aside.rename(file)
    enqueue(database)
    assert count(database) == 2


def test_who_has_a_file_that_is_replaced_writes_to_neither(database, tmp_path, monkeypatch):
    monkeypatch.setenv("NORMLAB_DATABASE_URL", database.url)
    file, copy = tmp_path / "normlab.db", tmp_path / "copy.db"
    assert back_up(copy) is None
    shutil.copy(copy, tmp_path / "again.db")
    copy.rename(file)
    for use in (enqueue, count):
        with pytest.raises(OperationalError, match="was removed or replaced"):
            use(database)
    assert file.read_bytes() == (tmp_path / "again.db").read_bytes()


def test_a_connection_that_cannot_write_is_given_up_for_another(database):
    held = database.writer.raw_connection()
    held.execute("PRAGMA query_only = ON")  # what one is that was opened while its file was read-only
    held.close()
    with pytest.raises(OperationalError, match="readonly"):
        enqueue(database)
    enqueue(database)
    assert count(database) == 2
