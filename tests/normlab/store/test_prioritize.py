"""The priority of an experiment, and when it can be changed."""

import pytest

from normlab.store import queue
from normlab.store.errors import InvalidState
from tests.experiments import claimed, do, enqueue, read


class TestPrioritize:
    """A change of priority."""

    def test_changes_a_queued_experiment_only(self, database):
        """The priority of a queued experiment can be changed, that of a running one cannot."""
        first, second = enqueue(database), enqueue(database)
        assert do(database, queue.prioritize, second, 5).priority == 5
        assert read(database, second).spec["priority"] == 5
        assert claimed(database).experiment_id == second
        with pytest.raises(InvalidState, match="is running"):
            do(database, queue.prioritize, second, 6)
        assert claimed(database).experiment_id == first
