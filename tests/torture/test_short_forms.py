"""The torture commands in short; `make torture` runs them whole."""

import pytest

from tests.torture.kill_storm import storm


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workers_killed_and_stopped_at_random_leave_every_experiment_as_if_nothing_had_happened(kind):
    assert storm(kind, faults=5, experiments=4, seed=1) == 0
