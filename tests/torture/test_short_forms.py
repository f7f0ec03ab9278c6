"""The torture commands in short; `make torture` runs them whole."""

import pytest

from tests.torture.age import age
from tests.torture.crash_points import crash
from tests.torture.database_gone import disturb
from tests.torture.defects import DEFECTS, ROOT, plant, planted
from tests.torture.kill_storm import storm
from tests.torture.posting import post
from tests.torture.readers import read
from tests.torture.takeover import take_over


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workers_killed_and_stopped_at_random_leave_every_experiment_as_if_nothing_had_happened(kind):
    assert storm(kind, faults=5, experiments=4, seed=1) == 0


@pytest.mark.slow
@pytest.mark.timeout(60)  # a takeover that does not come is one too late
def test_a_lease_that_has_run_out_is_taken_over_soon_and_never_before_whatever_the_workers_clocks_say():
    delays, unprovoked = take_over("postgresql", kills=2)
    assert (len(delays), unprovoked) == (2, 0)
    assert all(0 <= delay < 2 for delay in delays)


@pytest.mark.slow
def test_a_worker_killed_at_any_point_of_its_writes_leaves_its_experiment_as_if_nothing_had_happened():
    assert crash("postgresql", ["claim:inside", "record:inside", "record#3:after", "succeed:after"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_posts_repeated_with_their_keys_while_the_service_is_killed_make_exactly_one_experiment_each(kind):
    wrong, _ = post(kind, requests=300, kills=1, clients=16)
    assert wrong == 0


@pytest.mark.slow
def test_many_read_while_a_worker_trains_and_figures_are_drawn_without_an_error():
    p99, errors, wal = read(readers=30, seconds=5)
    assert (errors, wal < 64 << 20) == (0, True)
    assert p99 < 2


@pytest.mark.slow
def test_a_database_that_is_killed_loses_nothing_and_is_written_to_again_soon():
    assert disturb(kills=1, cuts=0).is_right()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_claims_and_lists_are_quick_among_thousands_that_have_ended(kind):
    claimed, listed = age(kind, ended=5_000, count=60)
    assert claimed < 0.2
    assert listed < 0.5


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_each_defect_can_still_be_planted_and_is_listed_with_the_test_that_catches_it(defect):
    assert planted((ROOT / defect.file).read_text(), defect)
    listed = (ROOT / "tests" / "README.md").read_text()
    assert f"| {defect.name} | `{defect.caught_by.split('::')[-1]}` |" in listed


@pytest.mark.slow
def test_a_planted_defect_is_noticed_by_its_test():
    (quick,) = [defect for defect in DEFECTS if "revoked key" in defect.name]
    assert plant([quick]) == []
