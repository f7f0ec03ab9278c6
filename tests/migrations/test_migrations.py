"""The migrations as a whole: their result, their locks, and every step taken back."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, update
from sqlalchemy.exc import IntegrityError

from normlab.store import claims, queue
from normlab.store.database import Database
from normlab.store.models import Base, CheckpointRow, Experiment, TagRow
from normlab.store.schema import SchemaStatus, migrate, migrating, schema_status
from tests.experiments import do, enqueue
from tests.migrations.revisions import downgrade, upgrade

pytestmark = pytest.mark.slow


@pytest.fixture
def empty(unmigrated_url):
    """A database without a schema."""
    database = Database(unmigrated_url)
    yield database
    database.close()


class TestSchema:
    """The schema that the migrations make."""

    def test_is_that_of_the_models(self, database):
        """Alembic finds no difference between the migrated schema and the models."""
        with database.reader.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []

    def test_names_every_constraint(self):
        """Every constraint has a name, because a migration can only change a named one."""
        for table in Base.metadata.tables.values():
            assert all(constraint.name for constraint in table.constraints)

    def test_is_current_once_migrated(self, empty):
        """A database has the current schema after a migration, and a second migration changes nothing."""
        assert schema_status(empty.reader) == SchemaStatus.MISSING
        migrate(empty)
        assert schema_status(empty.reader) == SchemaStatus.CURRENT
        migrate(empty)
        assert schema_status(empty.reader) == SchemaStatus.CURRENT

    def test_can_be_taken_back(self, empty):
        """Every step down to nothing works, and every step up again."""
        migrate(empty)
        downgrade(empty, "base")
        assert schema_status(empty.reader) == SchemaStatus.MISSING
        migrate(empty)
        assert schema_status(empty.reader) == SchemaStatus.CURRENT


class TestLock:
    """Migrations that run at once."""

    def test_all_steps_are_one_transaction(self, empty):
        """All steps are committed at once, so that no other process runs some of them in between."""
        commits = []
        event.listen(empty.writer, "commit", commits.append)
        migrate(empty)
        assert len(commits) == 1
        assert schema_status(empty.reader) == SchemaStatus.CURRENT

    def test_two_processes_at_once_both_succeed(self, unmigrated_url):
        """Two processes that migrate one empty database at once both end without an error."""
        environment = os.environ | {"NORMLAB_DATABASE_URL": unmigrated_url}
        processes = [
            subprocess.Popen([sys.executable, "-m", "migrations"], env=environment, stdout=subprocess.DEVNULL)
            for _ in range(2)
        ]
        assert [process.wait(60) for process in processes] == [0, 0]

    def test_waits_longer_than_the_timeout(self, empty):
        """A migration waits for another one longer than a statement waits for a lock."""
        migrate(empty)
        with empty.writer.connect() as other, ThreadPoolExecutor(1) as threads:
            lock = "SELECT pg_advisory_xact_lock(7411018)" if other.dialect.name == "postgresql" else "SELECT 1"
            other.exec_driver_sql(lock)
            waiting = threads.submit(_migrate, empty.url)
            time.sleep(3)
            assert not waiting.done()
            other.rollback()
            waiting.result()

    def test_step_may_take_longer_than_the_timeout(self, unmigrated_postgres_url):
        """A statement of a migration may take longer than other statements may."""
        slow = Database(unmigrated_postgres_url)
        upgrade(slow, "0002")
        with slow.writer.begin() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$"
            )
            connection.exec_driver_sql("CREATE TRIGGER slow BEFORE UPDATE ON experiments EXECUTE FUNCTION slow()")
        slow.close()
        _migrate(unmigrated_postgres_url)

    def test_failed_migration_changes_nothing(self, database):
        """After an error the schema is as before, and the connections enforce foreign keys again."""
        with pytest.raises(RuntimeError), migrating(database) as config:
            config.attributes["connection"].exec_driver_sql("DROP TABLE experiment_tags")
            raise RuntimeError
        enqueue(database, tags=["kept"])
        with pytest.raises(IntegrityError), database.writing.begin() as session:
            session.add(TagRow(experiment_id=99, tag="of no experiment"))


class TestOlderDatabase:
    """A small database of revision 0002."""

    def test_keeps_its_rows_and_its_checks(self, empty):
        """Its experiments, tags and checkpoints are kept, and the constraints still hold."""
        upgrade(empty, "0002")
        with empty.writer.begin() as connection:
            rows = (
                "INSERT INTO experiments (id, created_at, spec, normalization, dataset, status, attempt,"
                " cancel_requested, epochs_done, step, steps_total) VALUES (7, 0, '{\"epochs\": 3}', 'none', 'digits',"
                " 'queued', 2, false, 2, 9, 12)",
                "INSERT INTO experiment_tags VALUES (7, 'kept')",
                "INSERT INTO checkpoints (experiment_id, epoch, content, sha256) VALUES (7, 1, '', 'hash')",
            )
            for row in rows:
                connection.exec_driver_sql(row)

        migrate(empty)

        with empty.reading() as session:
            experiment = session.get_one(Experiment, 7)
            assert (experiment.status, experiment.queue_group, experiment.priority) == ("queued", "", 0)
            assert experiment.requested_action is None
            assert session.get_one(CheckpointRow, 7).step == 8
            assert session.get_one(TagRow, (7, "kept"))
        assert do(empty, claims.claim, worker="w", lease_seconds=30) == claims.Claim(7, 3)
        for values in ({"requested_action": "nonsense"}, {"status": "nonsense"}):
            with pytest.raises(IntegrityError), empty.writing.begin() as session:
                session.execute(update(Experiment).values(values))

    def test_ids_are_never_given_twice(self, tmp_path):
        """On SQLite the id of a removed experiment is not given to a new one, whatever migrations come between."""
        database = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
        migrate(database)
        for number in (1, 2):
            assert enqueue(database) == number
            do(database, queue.remove, number)
            downgrade(database, "0002")
            migrate(database)
        database.close()


def _migrate(url):
    """Migrate as another process does, with a timeout of one second for other statements."""
    database = Database(url, timeout_seconds=1)
    try:
        migrate(database)
        assert schema_status(database.reader) == SchemaStatus.CURRENT
    finally:
        database.close()
