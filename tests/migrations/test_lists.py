"""Revision 0008: the columns that lists show and sort by, in databases of older releases."""

import pytest

from normlab.store.database import Database
from normlab.store.schema import migrate
from tests.experiments import read
from tests.migrations.revisions import REVISIONS, make, rows_of

pytestmark = pytest.mark.slow

QUEUED = 9


@pytest.fixture
def empty(unmigrated_url):
    """A database without a schema."""
    database = Database(unmigrated_url)
    yield database
    database.close()


class TestColumns:
    @pytest.mark.parametrize("revision", REVISIONS)
    def test_fills_the_columns_of_lists(self, empty, revision):
        """The last and best metrics are those of the stored epochs; the number of epochs is that of the spec."""
        make(empty, revision)
        migrate(empty)
        rows = rows_of(empty)
        for row in rows["experiments"]:
            epochs = [epoch for epoch in rows["epochs"] if epoch["experiment_id"] == row["id"]]
            for name in ("train_loss", "test_loss", "test_accuracy"):
                assert row[f"last_{name}"] == (epochs[-1][name] if epochs else None)
            assert row["best_test_accuracy"] == max((epoch["test_accuracy"] for epoch in epochs), default=None)
            assert (row["epochs_total"], row["name_folded"]) == (row["spec"]["epochs"], row["name"])
        best = [row["best_test_accuracy"] for row in rows["experiments"]]
        assert [value is None for value in best] == [False, False, False, True, False, False, False, False, True]

    def test_repairs_the_specs_priority(self, empty):
        """A priority that was changed after the post is written to the spec; until now the spec kept the first one."""
        make(empty, "0005")
        with empty.writer.begin() as connection:
            connection.exec_driver_sql(f"UPDATE experiments SET priority = -7 WHERE id = {QUEUED}")
        migrate(empty)
        experiment = read(empty, QUEUED)
        assert (experiment.priority, experiment.spec["priority"]) == (-7, -7)
