"""Epoch records: written whole or not at all, read back as they were written, on both databases."""

import dataclasses

import numpy as np
import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError

from normlab.store import records
from normlab.store.models import CheckpointRow, Experiment
from tests.experiments import claimed, enqueue
from tests.factories import capture_of, histogram_of, metrics_of, record_of


@pytest.fixture
def held(database):
    enqueue(database)
    return claimed(database)


def write(database, held, record):
    with database.writing.begin() as session:
        records.record(session, held, record)


def test_an_epoch_comes_back_as_it_was_written(database, held):
    odd = histogram_of(np.array([0, -0.0, 1e-45, -3e38, np.nan, np.inf, -np.inf, -np.inf, 0.1]))
    record = dataclasses.replace(
        record_of(0),
        metrics=metrics_of(0, train_loss=None),
        captures=(capture_of(0), dataclasses.replace(capture_of(0, step=9), histograms={(2, "update"): odd})),
    )
    write(database, held, record)
    with database.reading() as session:
        assert records.metrics(session, held.experiment_id) == [record.metrics]
        read = list(records.captures(session, held.experiment_id))
        checkpoint = records.checkpoint(session, held.experiment_id)
    assert [(capture.epoch, capture.step) for capture in read] == [(0, 1), (0, 9)]
    for ours, theirs in zip(read, record.captures, strict=True):
        assert ours.histograms.keys() == theirs.histograms.keys()
        for key, histogram in theirs.histograms.items():
            for field in dataclasses.fields(histogram):
                assert np.array_equal(getattr(ours.histograms[key], field.name), getattr(histogram, field.name))
    assert (checkpoint.content, checkpoint.sha256) == (record.checkpoint.content, record.checkpoint.sha256)


def test_captures_are_filtered_by_quantity_layer_and_epoch(database, held):
    for epoch in range(3):
        write(database, held, record_of(epoch, quantities=("weight", "update")))
    with database.reading() as session:
        (found,) = list(records.captures(session, held.experiment_id, quantities=["update"], layer=2, epoch=1))
    assert (found.epoch, list(found.histograms)) == (1, [(2, "update")])


def test_only_the_newest_checkpoint_is_kept(database, held):
    for epoch in range(3):
        write(database, held, record_of(epoch))
    with database.reading() as session:
        assert records.checkpoint(session, held.experiment_id).content == b"state after 2"
        assert session.get_one(Experiment, held.experiment_id).epochs_done == 3


def test_a_record_that_cannot_be_written_leaves_nothing_behind(database, held):
    write(database, held, record_of(0))
    twice = dataclasses.replace(record_of(1), captures=record_of(0).captures)  # the histograms are there already
    with pytest.raises(IntegrityError):
        write(database, held, twice)
    with database.reading() as session:
        assert len(records.metrics(session, held.experiment_id)) == 1
        assert records.checkpoint(session, held.experiment_id).step == 1
        assert session.get_one(Experiment, held.experiment_id).epochs_done == 1


def test_a_record_reads_no_checkpoint_and_leaves_one_row(database, held):
    asked = []
    write(database, held, record_of(0))
    event.listen(database.writer, "before_cursor_execute", lambda *heard: asked.append(heard[2]))
    write(database, held, record_of(1))
    assert [one for one in asked if "checkpoints" in one and "sha256" in one]
    assert not [one for one in asked if one.startswith("SELECT") and "content" in one]
    with database.reading() as session:
        assert session.scalars(select(CheckpointRow.step)).all() == [2]
