"""Records: written whole or not at all, and read as they were written."""

import dataclasses

import numpy as np
import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError

from normlab.store import records
from normlab.store.models import CheckpointRow, Experiment
from tests.experiments import claimed, do, enqueue, read
from tests.factories import capture_of, histogram_of, metrics_of, record_of


@pytest.fixture
def claim(database):
    """The claim of a running experiment."""
    enqueue(database)
    return claimed(database)


class TestRead:
    """Reading what was recorded."""

    def test_returns_what_was_written(self, database, claim):
        """Metrics, captures and the checkpoint are read as they were written, with every number of a histogram."""
        histogram = histogram_of(np.array([0, -0.0, 1e-45, -3e38, np.nan, np.inf, -np.inf, -np.inf, 0.1]))
        second = dataclasses.replace(capture_of(0, step=9), histograms={(2, "update"): histogram})
        record = dataclasses.replace(
            record_of(0), metrics=metrics_of(0, train_loss=None), captures=(capture_of(0), second)
        )
        do(database, records.record, claim, record)
        with database.reading() as session:
            assert records.metrics(session, claim.experiment_id) == [record.metrics]
            captures = list(records.captures(session, claim.experiment_id))
            checkpoint = records.checkpoint(session, claim.experiment_id)
        assert [(capture.epoch, capture.step) for capture in captures] == [(0, 1), (0, 9)]
        for capture, written in zip(captures, record.captures, strict=True):
            assert capture.histograms.keys() == written.histograms.keys()
            for key, histogram in written.histograms.items():
                for field in dataclasses.fields(histogram):
                    assert np.array_equal(getattr(capture.histograms[key], field.name), getattr(histogram, field.name))
        assert (checkpoint.content, checkpoint.sha256) == (record.checkpoint.content, record.checkpoint.sha256)

    def test_filters_captures(self, database, claim):
        """Captures can be read of some quantities, of one layer, and of one epoch."""
        for epoch in range(3):
            do(database, records.record, claim, record_of(epoch, quantities=("weight", "update")))
        with database.reading() as session:
            (capture,) = records.captures(session, claim.experiment_id, quantities=["update"], layer=2, epoch=1)
        assert (capture.epoch, list(capture.histograms)) == (1, [(2, "update")])


class TestLayerStatistics:
    """Statistics without bins."""

    def test_are_those_of_the_histograms(self, database, claim):
        """The statistics are those of the histograms that the captures hold, in the same order, and no bin is read."""
        odd = histogram_of(np.array([0, -0.0, 1e-45, -3e38, np.nan, np.inf, -np.inf, -np.inf, 0.1]))
        empty = histogram_of([np.nan])
        first = dataclasses.replace(capture_of(0), histograms={(1, "update"): odd, (2, "update"): empty})
        record = dataclasses.replace(record_of(0), captures=(first, capture_of(0, step=9)))
        do(database, records.record, claim, record)
        statements = []
        with database.reading() as session:
            captures = list(records.captures(session, claim.experiment_id))
            event.listen(database.reader, "before_cursor_execute", lambda *call: statements.append(call[2]))
            rows = records.layer_statistics(session, claim.experiment_id)
        assert len(statements) == 1
        assert "bins" not in statements[0]
        histograms = [
            (capture.epoch, capture.step, *key, histogram)
            for capture in captures
            for key, histogram in capture.histograms.items()
        ]
        assert len(rows) == 8
        for row, (*captured, histogram) in zip(rows, histograms, strict=True):
            assert [row["epoch"], row["step"], row["layer"], row["quantity"]] == captured
            assert (row["count"], row["min"], row["max"]) == (histogram.count, histogram.minimum, histogram.maximum)
            for field in ("zeros", "nans", "positive_infinities", "negative_infinities", "mean", "std", "l2_norm"):
                assert row[field] == getattr(histogram, field)

    def test_range_is_that_of_all_chosen_captures(self, database, claim):
        """The range of values is that of the chosen captures, and there is none without a finite value."""
        captures = [capture_of(epoch, quantities=("weight", "update")) for epoch in range(2)]
        do(database, records.record, claim, dataclasses.replace(record_of(0), captures=tuple(captures)))
        chosen = [capture.histograms[2, "weight"] for capture in captures]
        expected = min(each.minimum for each in chosen), max(each.maximum for each in chosen)
        with database.reading() as session:
            ids = [claim.experiment_id]
            assert records.value_range(session, ids, quantities=["weight"], layer=2) == expected
            assert records.value_range(session, ids, epoch=5) is None


class TestRecord:
    """Writing a record."""

    def test_keeps_the_newest_checkpoint_only(self, database, claim):
        """A checkpoint replaces the one before."""
        for epoch in range(3):
            do(database, records.record, claim, record_of(epoch))
        with database.reading() as session:
            assert records.checkpoint(session, claim.experiment_id).content == b"state after 2"
            assert session.get_one(Experiment, claim.experiment_id).epochs_done == 3

    def test_writes_all_or_nothing(self, database, claim):
        """Of a record that the database refuses, nothing is written."""
        do(database, records.record, claim, record_of(0))
        duplicate = dataclasses.replace(record_of(1), captures=record_of(0).captures)  # histograms stored already
        with pytest.raises(IntegrityError):
            do(database, records.record, claim, duplicate)
        with database.reading() as session:
            assert len(records.metrics(session, claim.experiment_id)) == 1
            assert records.checkpoint(session, claim.experiment_id).step == 1
            assert session.get_one(Experiment, claim.experiment_id).epochs_done == 1

    def test_written_twice_is_stored_once(self, database, claim):
        """A writer that lost its connection before it learned that its record was written may write it again."""
        for _ in range(2):
            do(database, records.record, claim, record_of(0))
        with database.reading() as session:
            assert len(records.metrics(session, claim.experiment_id)) == 1

    def test_keeps_the_last_and_the_best_metrics(self, database, claim):
        """The experiment has the metrics of its last epoch and its best accuracy, also if a record is repeated."""
        for epoch, accuracy in enumerate((0.5, 0.75, 0.25)):
            metrics = metrics_of(epoch, test_accuracy=accuracy, train_loss=None if epoch == 2 else 1.5, test_loss=epoch)
            record = dataclasses.replace(record_of(epoch), metrics=metrics)
            for _ in range(2):
                do(database, records.record, claim, record)
        do(database, records.record, claim, dataclasses.replace(record_of(3), metrics=None))
        experiment = read(database, claim.experiment_id)
        assert (experiment.last_train_loss, experiment.last_test_loss) == (None, 2)
        assert (experiment.last_test_accuracy, experiment.best_test_accuracy) == (0.25, 0.75)

    def test_does_not_read_the_old_checkpoint(self, database, claim):
        """The old checkpoint is replaced without reading its content, which may be large."""
        statements = []
        do(database, records.record, claim, record_of(0))
        event.listen(database.writer, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
        do(database, records.record, claim, record_of(1))
        assert [statement for statement in statements if "checkpoints" in statement and "sha256" in statement]
        assert not [statement for statement in statements if statement.startswith("SELECT") and "content" in statement]
        with database.reading() as session:
            assert session.scalars(select(CheckpointRow.step)).all() == [2]
