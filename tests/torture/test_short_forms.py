"""The torture commands in short; `make torture` runs them whole."""

import pytest

from tests.torture.crash_points import crash
from tests.torture.kill_storm import storm
from tests.torture.takeover import take_over


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workers_killed_and_stopped_at_random_leave_every_experiment_as_if_nothing_had_happened(kind):
    assert storm(kind, faults=5, experiments=4, seed=1) == 0


def test_a_lease_that_has_run_out_is_taken_over_soon_and_never_before_whatever_the_workers_clocks_say():
    delays = take_over("postgresql", kills=2)
    assert len(delays) == 2
    assert all(0 <= delay < 2 for delay in delays)


def test_a_worker_killed_at_any_point_of_its_writes_leaves_its_experiment_as_if_nothing_had_happened():
    assert crash("postgresql", ["claim:inside", "record:inside", "record#3:after", "succeed:after"]) == []
