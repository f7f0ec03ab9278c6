"""Remove: an experiment is deleted with all its records."""

import pytest
from sqlalchemy import select

from normlab.store import lost_attempts, queue, records
from normlab.store.errors import ClaimLost, InvalidState, NoSuchExperiment
from normlab.store.models import CheckpointRow, EpochRow, HistogramRow
from tests.experiments import claimed, do, enqueue, expire
from tests.factories import record_of


class TestRemove:
    """What a removal deletes and what it refuses."""

    def test_deletes_all_records(self, database):
        """The records of the removed experiment are deleted, those of others are not. A running one is refused."""
        removed, kept = enqueue(database, tags=["a", "b"]), enqueue(database, tags=["a", "b"])
        for _ in range(2):
            do(database, records.record, claimed(database), record_of(0))
        with pytest.raises(InvalidState, match="is running"):
            do(database, queue.remove, removed)
        expire(database, removed)
        do(database, lost_attempts.requeue_stalled)
        do(database, queue.remove, removed)
        with database.reading() as session:
            for table in (EpochRow, HistogramRow, CheckpointRow):
                assert set(session.scalars(select(table.experiment_id))) == {kept}
        with pytest.raises(NoSuchExperiment):
            do(database, queue.remove, removed)

    def test_by_force_ends_the_claim(self, database):
        """A running experiment can be removed by force. Its worker's next write raises ClaimLost."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, queue.remove, number, force=True)
        with pytest.raises(ClaimLost):
            do(database, records.record, claim, record_of(0))

    def test_frees_no_id(self, database):
        """The id of a removed experiment is not given to a new one."""
        last = [enqueue(database) for _ in range(3)][-1]
        do(database, queue.remove, last)
        assert enqueue(database) > last
