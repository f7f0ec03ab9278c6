"""The torture commands in short. `make torture` runs them in full."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.torture.age import age
from tests.torture.crash_points import crash
from tests.torture.damaged_images import BATCH, load_damaged
from tests.torture.database_gone import disturb
from tests.torture.defects import DEFECTS, ROOT, plant, planted
from tests.torture.gradient_defects import DEFECTS as GRADIENT_DEFECTS
from tests.torture.kill_storm import storm
from tests.torture.posting import post
from tests.torture.readers import read
from tests.torture.takeover import take_over


@pytest.fixture
def progress(capsys):
    """After the command: it has printed a progress line at its start."""
    yield
    assert " s so far" in capsys.readouterr().err.splitlines()[0]


@pytest.mark.slow
@pytest.mark.usefixtures("progress")
class TestWorkers:
    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    def test_kills_and_suspensions_change_no_result(self, kind):
        """Experiments whose workers are killed and suspended at random end as undisturbed ones."""
        assert storm(kind, faults=5, experiments=4, seed=1) == 0

    @pytest.mark.timeout(60)  # without a takeover, the command waits without end
    def test_takeover_comes_after_the_lease_and_within_seconds(self):
        """A takeover comes after the lease has expired, and within two seconds, even with wrong clocks."""
        delays, unprovoked = take_over("postgresql", kills=2)
        assert (len(delays), unprovoked) == (2, 0)
        assert all(0 <= delay < 2 for delay in delays)

    def test_crashes_at_named_points_change_no_result(self):
        """An experiment whose worker is killed around a write ends as an undisturbed one."""
        assert crash("postgresql", ["claim:inside", "record:inside", "record#3:after", "succeed:after"]) == []


@pytest.mark.slow
@pytest.mark.usefixtures("progress")
class TestService:
    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    def test_repeated_posts_make_one_experiment_per_key(self, kind):
        """Clients that repeat a post while the service is killed get exactly one experiment per idempotency key."""
        wrong, _ = post(kind, requests=300, kills=1, clients=16)
        assert wrong == 0

    def test_many_readers_are_answered_during_training(self):
        """Many clients read without an error while workers train and figures are rendered."""
        p99, errors, wal = read(readers=30, seconds=5)
        assert (errors, wal < 64 << 20) == (0, True)
        assert p99 < 2


@pytest.mark.slow
@pytest.mark.usefixtures("progress")
class TestDatabase:
    def test_kill_loses_nothing(self):
        """If PostgreSQL is killed, nothing acknowledged is lost and the service soon works again."""
        assert disturb(kills=1, cuts=0).is_right()

    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    def test_ended_experiments_do_not_slow_down_claims(self, kind):
        """Claims and the list are fast in a database with thousands of ended experiments."""
        claim_seconds, list_seconds = age(kind, ended=5_000, count=60)
        assert claim_seconds < 0.2
        assert list_seconds < 0.5


@pytest.mark.slow
class TestImages:
    def test_damaged_ones_are_refused_by_name(self):
        """1,067 damaged images are read or refused by name, without another exception and without output."""
        tally = Counter()
        for first in range(0, 1_067, BATCH):
            tally.update(load_damaged(1, first)[0])
        assert {name for name, number in tally.items() if number} == {"read", "named"}
        assert tally["named"] > 300


class TestDefects:
    @pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
    def test_can_be_planted_and_is_listed(self, defect):
        """The text of each defect occurs once in the code, and tests/README.md lists the defect with its test."""
        assert planted((ROOT / defect.file).read_text(), defect)
        table = (ROOT / "tests" / "README.md").read_text()
        assert f"| {defect.name} | `{defect.caught_by.split('::')[-1]}` |" in table

    @pytest.mark.parametrize("defect", GRADIENT_DEFECTS, ids=lambda defect: defect.name)
    def test_can_be_planted_in_normcore(self, defect):
        """The text of each defect of the gradient check occurs once in the code."""
        assert planted((ROOT / defect.file).read_text(), defect)

    @pytest.mark.slow
    def test_is_caught_by_the_gradient_check(self):
        """A defect planted in normcore makes a worker refuse to train."""
        command = [sys.executable, "-m", "tests.torture.gradient_defects", "--first", "1"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (result.returncode, ", 0 not caught" in result.stdout.replace(";", ",")) == (0, True), result.stdout

    @pytest.mark.slow
    def test_is_caught_by_its_test(self):
        """A planted defect makes its test fail."""
        (quick,) = [defect for defect in DEFECTS if "revoked API key" in defect.name]
        assert plant([quick]) == []
