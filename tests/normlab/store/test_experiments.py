"""Reads of experiments, on both kinds of database."""

import pytest

from normlab.store import claims, records
from normlab.store.errors import NoSuchExperiment
from normlab.store.experiments import checkpoint_summary, get_experiment, get_experiments, list_attempts
from tests.experiments import claimed, do, enqueue
from tests.factories import record_of


class TestGet:
    def test_several_in_the_given_order(self, database):
        """Several experiments are returned in the order of their ids as given."""
        for _ in range(3):
            enqueue(database)
        with database.reading() as session:
            assert get_experiment(session, 2).id == 2
            assert [experiment.id for experiment in get_experiments(session, [3, 1])] == [3, 1]

    def test_first_unknown_is_named(self, database):
        """The first id that does not exist is named."""
        enqueue(database)
        with database.reading() as session:
            with pytest.raises(NoSuchExperiment, match="7"):
                get_experiments(session, [1, 7, 8])
            for read in (get_experiment, list_attempts, checkpoint_summary):
                with pytest.raises(NoSuchExperiment, match="9"):
                    read(session, 9)


class TestAttemptsAndCheckpoint:
    def test_of_one_experiment(self, database):
        """The attempts are listed oldest first; the summary of the checkpoint has its step, size and hash."""
        enqueue(database)
        with database.reading() as session:
            assert checkpoint_summary(session, 1) is None
            assert list_attempts(session, 1) == []
        record = record_of(0)
        for worker in ("first", "second"):
            claim = claimed(database, worker=worker)
            if worker == "first":
                do(database, records.record, claim, record)
                do(database, claims.release, claim)
        with database.reading() as session:
            assert [attempt.worker for attempt in list_attempts(session, 1)] == ["first", "second"]
            summary = checkpoint_summary(session, 1)
        assert (summary.step, summary.size, summary.sha256) == (
            1,
            len(record.checkpoint.content),
            record.checkpoint.sha256,
        )
