"""Migrations and models say the same, on both databases."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, update
from sqlalchemy.exc import IntegrityError

from normlab.store import claims, queue
from normlab.store import database as databases
from normlab.store.database import Database
from normlab.store.models import Base, CheckpointRow, Experiment, TagRow
from normlab.store.schema import SchemaStatus, alembic_config, migrate, schema_status
from tests.experiments import do, enqueue


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
    assert schema_status(empty.reader) == SchemaStatus.MISSING
    migrate(empty)
    assert schema_status(empty.reader) == SchemaStatus.CURRENT
    migrate(empty)
    assert schema_status(empty.reader) == SchemaStatus.CURRENT


def test_every_step_can_be_taken_back(empty):
    migrate(empty)
    _go(empty, command.downgrade, "base")
    assert schema_status(empty.reader) == SchemaStatus.MISSING
    migrate(empty)
    assert schema_status(empty.reader) == SchemaStatus.CURRENT


def test_all_steps_are_one_transaction_and_nobody_comes_between(empty):
    commits = []
    event.listen(empty.writer, "commit", commits.append)
    migrate(empty)
    assert len(commits) == 1
    assert schema_status(empty.reader) == SchemaStatus.CURRENT


def test_two_processes_that_migrate_at_once_both_succeed(unmigrated_url):
    environment = os.environ | {"NORMLAB_DATABASE_URL": unmigrated_url}
    migrating = [
        subprocess.Popen([sys.executable, "-m", "migrations"], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(60) for process in migrating] == [0, 0]


def test_a_migration_waits_for_another_however_long_that_takes(empty, monkeypatch):
    migrate(empty)
    monkeypatch.setattr(databases, "TIMEOUT_SECONDS", 1)
    with empty.writer.connect() as other, ThreadPoolExecutor(1) as threads:
        lock = "SELECT pg_advisory_xact_lock(7411018)" if other.dialect.name == "postgresql" else "SELECT 1"
        other.exec_driver_sql(lock)
        waiting = threads.submit(_migrate, empty.url)
        time.sleep(3)
        assert not waiting.done()
        other.rollback()
        waiting.result()


def test_a_migration_may_take_its_time(unmigrated_postgres_url, monkeypatch):
    slow = Database(unmigrated_postgres_url)
    _go(slow, command.upgrade, "0002")
    with slow.writer.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$"
        )
        connection.exec_driver_sql("CREATE TRIGGER slow BEFORE UPDATE ON experiments EXECUTE FUNCTION slow()")
    slow.close()
    monkeypatch.setattr(databases, "TIMEOUT_SECONDS", 1)
    _migrate(unmigrated_postgres_url)


def _migrate(url):
    """As another process does, to the end."""
    migrating = Database(url)
    try:
        migrate(migrating)
        assert schema_status(migrating.reader) == SchemaStatus.CURRENT
    finally:
        migrating.close()


def _go(database, way, revision):
    """Up or down to a revision."""
    config = alembic_config()
    with database.writer.connect() as connection:
        config.attributes["connection"] = connection
        way(config, revision)
        connection.commit()


def test_every_constraint_has_a_name():
    for table in Base.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints)


def test_an_older_database_keeps_its_experiments_records_and_checkpoints(empty):
    _go(empty, command.upgrade, "0002")
    with empty.writer.begin() as connection:
        rows = (
            "INSERT INTO experiments (id, created_at, spec, normalization, dataset, status, attempt, cancel_requested,"
            " epochs_done, step, steps_total) VALUES (7, 0, '{\"epochs\": 3}', 'none', 'digits', 'queued', 2,"
            " false, 2, 9, 12)",
            "INSERT INTO experiment_tags VALUES (7, 'kept')",
            "INSERT INTO checkpoints (experiment_id, epoch, content, sha256) VALUES (7, 1, '', 'hash')",
        )
        for row in rows:
            connection.exec_driver_sql(row)

    migrate(empty)

    with empty.reading() as session:
        experiment = session.get_one(Experiment, 7)
        assert (experiment.status, experiment.queue_group, experiment.priority, experiment.requested_action) == (
            "queued",
            "",
            0,
            None,
        )
        assert session.get_one(CheckpointRow, 7).step == 8
        assert session.get_one(TagRow, (7, "kept"))
    with empty.writing.begin() as session:
        assert claims.claim(session, worker="w", lease_seconds=30) == claims.Claim(7, 3)
    with pytest.raises(IntegrityError), empty.writing.begin() as session:  # the checks are there still
        session.execute(update(Experiment).values(requested_action="nonsense"))
    with pytest.raises(IntegrityError), empty.writing.begin() as session:
        session.execute(update(Experiment).values(status="nonsense"))


def test_an_id_is_never_given_twice_across_migrations_up_and_down(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    migrate(database)
    for number in (1, 2):
        assert enqueue(database) == number
        do(database, queue.remove, number)
        _go(database, command.downgrade, "0002")
        migrate(database)
    database.close()
