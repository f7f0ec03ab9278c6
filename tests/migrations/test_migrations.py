"""Migrations and models say the same, on both databases."""

import os
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from service.experiments.database import Database
from service.experiments.models import Base
from service.experiments.schema import _config, is_at_head, migrate


@pytest.fixture
def empty(unmigrated_url):
    made = Database(unmigrated_url)
    yield made
    made.close()


def test_the_migrated_schema_is_that_of_the_models(database):
    with database.reader.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_database_is_at_head_only_once_it_is_migrated_and_migrating_again_changes_nothing(empty):
    assert not is_at_head(empty.reader)
    migrate(empty)
    assert is_at_head(empty.reader)
    migrate(empty)
    assert is_at_head(empty.reader)


def test_every_step_can_be_taken_back(empty):
    migrate(empty)
    config = _config()
    with empty.writer.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    assert not is_at_head(empty.reader)
    migrate(empty)
    assert is_at_head(empty.reader)


def test_two_processes_that_migrate_at_once_both_succeed(unmigrated_url):
    environment = os.environ | {"NORMLAB_DATABASE_URL": unmigrated_url}
    migrating = [
        subprocess.Popen([sys.executable, "-m", "migrations"], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(60) for process in migrating] == [0, 0]


def test_every_constraint_has_a_name():
    for table in Base.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints)
