"""Migrations and models say the same, on both databases."""

import os
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from service.experiments import claims
from service.experiments.database import Database
from service.experiments.models import Base, CheckpointRow, Experiment, TagRow
from service.experiments.schema import _config, migrate, trouble


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
    assert "older" in trouble(empty.reader)
    migrate(empty)
    assert trouble(empty.reader) is None
    migrate(empty)
    assert trouble(empty.reader) is None


def test_every_step_can_be_taken_back(empty):
    migrate(empty)
    config = _config()
    with empty.writer.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    assert "older" in trouble(empty.reader)
    migrate(empty)
    assert trouble(empty.reader) is None


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


def test_an_older_database_keeps_its_experiments_records_and_checkpoints(empty):
    with empty.writer.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        rows = (
            "INSERT INTO experiments (id, created_at, spec, normalization, dataset, status, attempt, cancel_requested,"
            " epochs_done, step, steps_total) VALUES (7, 0, '{\"epochs\": 3}', 'none', 'digits', 'queued', 2,"
            " false, 2, 9, 12)",
            "INSERT INTO experiment_tags VALUES (7, 'kept')",
            "INSERT INTO checkpoints (experiment_id, epoch, content, sha256) VALUES (7, 1, '', 'hash')",
        )
        for row in rows:
            connection.exec_driver_sql(row)
        connection.commit()

    migrate(empty)

    with empty.reading() as session:
        experiment = session.get_one(Experiment, 7)
        assert (experiment.status, experiment.group, experiment.priority, experiment.wish) == ("queued", "", 0, None)
        assert session.get_one(CheckpointRow, 7).step == 8
        assert session.get_one(TagRow, (7, "kept"))
    with empty.writing.begin() as session:
        assert claims.claim(session, worker="w", lease_seconds=30) == claims.Claim(7, 3)
    with pytest.raises(IntegrityError), empty.writing.begin() as session:  # the checks are there still
        session.execute(update(Experiment).values(wish="nonsense"))
    with pytest.raises(IntegrityError), empty.writing.begin() as session:
        session.execute(update(Experiment).values(status="nonsense"))
