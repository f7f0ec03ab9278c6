"""One claim as its supervisor watches it: heartheartbeat_times, stop requests, timeouts and the end of the attempt."""

from itertools import pairwise

import pytest
from sqlalchemy.exc import OperationalError

from normlab.spec.lifecycle import Phase, StopReason
from normlab.store import claims, lost_attempts, queue
from normlab.store.live_progress import LiveProgress
from tests.experiments import attempts, claimed, do, enqueue, read
from worker.settings import WorkerSettings
from worker.supervisor.claim_watch import LOST_TIMEOUT_SECONDS, NEW_PHASE_SECONDS, STOP_TIMEOUT_SECONDS, ClaimWatch


class Clock:
    """A clock that advances only when a test sets it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def claim(sqlite):
    enqueue(sqlite)
    return claimed(sqlite, lease_seconds=600)


@pytest.fixture
def watch(sqlite, claim, clock):
    settings = WorkerSettings(database_url=sqlite.url, step_timeout_seconds=2, startup_timeout_seconds=60)
    return ClaimWatch(sqlite, claim, settings, clock=clock)


def check_later(watch, clock, *, stopping=False):
    pass_time(watch, clock, watch.seconds_to_next_check() + 1e-6)
    return watch.check(stopping=stopping)


def lose(database, claim):
    """End the attempt of the claim, as another worker does after the lease has expired."""
    do(database, lost_attempts.mark_lost, claim, detail="no heartbeat")


def raise_unavailable(*arguments):
    raise OperationalError("SELECT", {}, Exception("the database is unavailable"))


def pass_time(watch, clock, seconds):
    """Let the time pass, and then read the reports."""
    clock.now += seconds
    watch.received()


class TestHeartbeat:
    @pytest.mark.parametrize("lease_seconds", [1.0, 30.0])
    def test_is_sent_three_times_per_lease(self, sqlite, claim, clock, monkeypatch, lease_seconds):
        """A heartbeat is sent as soon as a third of the lease has passed."""
        heartbeat_times, heartbeat = [], claims.heartbeat

        def recorded_heartbeat(*arguments, **options):
            heartbeat_times.append(clock.now)
            clock.now += 0.005  # the time that it takes
            return heartbeat(*arguments, **options)

        monkeypatch.setattr(claims, "heartbeat", recorded_heartbeat)
        settings = WorkerSettings(database_url=sqlite.url, lease_seconds=lease_seconds)
        watch = ClaimWatch(sqlite, claim, settings, clock=clock)
        while len(heartbeat_times) < 5:
            check_later(watch, clock)
        gaps = [later - earlier for earlier, later in pairwise(heartbeat_times)]
        assert all(lease_seconds / 3 <= gap < 0.4 * lease_seconds for gap in gaps), gaps

    def test_stores_the_reported_step(self, sqlite, claim, watch, clock):
        """A heartbeat stores how many steps the training process has reported."""
        watch.record_progress(7)
        clock.now += 11
        assert watch.check(stopping=False) is None
        assert read(sqlite, claim.experiment_id).step == 7


class TestStop:
    @pytest.mark.parametrize("action", ["cancel", "pause"])
    def test_is_sent_once_for_a_request_of_a_user(self, sqlite, claim, watch, clock, action):
        """A request of a user is sent to the training at the next check, and not repeated."""
        assert check_later(watch, clock) is None
        do(sqlite, getattr(queue, action), claim.experiment_id)
        assert check_later(watch, clock) == StopReason(action)
        assert check_later(watch, clock) is None

    def test_is_sent_once_when_the_worker_stops(self, watch, clock):
        """A stopping worker asks for a release without waiting for the next check."""
        assert watch.check(stopping=True) == StopReason.RELEASE
        assert watch.check(stopping=True) is None
        assert check_later(watch, clock, stopping=True) is None

    def test_is_sent_again_when_the_claim_is_lost(self, sqlite, claim, watch, clock, caplog):
        """A lost claim is reported to the training even if it was asked to stop before, and only once."""
        assert watch.check(stopping=True) == StopReason.RELEASE
        lose(sqlite, claim)
        assert check_later(watch, clock, stopping=True) == StopReason.CLAIM_LOST
        assert check_later(watch, clock, stopping=True) is None
        assert caplog.text.count("no longer the current one") == 1

    @pytest.mark.parametrize("is_lost", [False, True], ids=["requested", "claim lost"])
    def test_must_be_followed_within_its_timeout(self, sqlite, claim, watch, clock, is_lost):
        """A training that ignores a stop is found after 30 seconds, or after 1 second if its claim is lost."""
        if is_lost:
            lose(sqlite, claim)
            check_later(watch, clock)
        else:
            watch.check(stopping=True)
        waited = 0.0
        while not watch.ignores_stop():
            pass_time(watch, clock, 0.25)
            waited += 0.25
        assert waited == pytest.approx((LOST_TIMEOUT_SECONDS if is_lost else STOP_TIMEOUT_SECONDS) + 0.25)

    def test_timeout_excludes_a_suspension_of_the_supervisor(self, watch, clock):
        """A supervisor that was suspended first reads what its training has reported since."""
        watch.check(stopping=True)
        pass_time(watch, clock, 600)
        assert not watch.ignores_stop()
        pass_time(watch, clock, 0.25)
        assert not watch.ignores_stop()


class TestCheck:
    @pytest.mark.parametrize("verb", [claims.succeed, claims.cancel, claims.release])
    def test_ignores_an_end_that_the_training_wrote(self, sqlite, claim, watch, clock, caplog, verb):
        """A claim that its own training process has ended is not lost, so nothing is logged and no stop is sent."""
        do(sqlite, verb, claim)
        assert check_later(watch, clock) is None
        clock.now += 200  # a heartbeat is due
        assert check_later(watch, clock) is None
        assert caplog.text == ""

    def test_logs_an_outage_once(self, sqlite, watch, clock, monkeypatch, caplog):
        """Only the first failed check of an outage is logged. The time of the last one is kept."""
        with monkeypatch.context() as outage:
            outage.setattr(claims, "stop_reason", raise_unavailable)
            for _ in range(3):
                assert check_later(watch, clock) is None
        failed_at = clock.now
        assert check_later(watch, clock) is None
        assert watch.database_failed_at == failed_at
        line = (
            f"experiment 1: database {sqlite.location} did not answer a heartbeat or check: the database is unavailable"
        )
        assert caplog.messages == [line]
        monkeypatch.setattr(claims, "stop_reason", raise_unavailable)
        check_later(watch, clock)
        assert caplog.messages == [line, line]


class TestRecordProgress:
    def test_counts_only_steps_since_the_last_report(self, watch):
        """The first report of a resumed training names steps of earlier attempts, so it counts none."""
        assert [watch.record_progress(step) for step in (40, 40, 43)] == [0, 0, 3]

    def test_stores_a_new_phase_within_seconds(self, sqlite, watch, claim, clock):
        """Another phase is stored before the next heartbeat is due, and does not count as a first step."""
        for phase in (Phase.COMPILING, Phase.TRAINING):
            assert watch.record_progress(None, LiveProgress(phase, 120.0, 8.5)) == 0
            pass_time(watch, clock, NEW_PHASE_SECONDS + 0.1)
            watch.check(stopping=False)
            experiment = read(sqlite, claim.experiment_id)
            assert (experiment.phase, experiment.images_per_second, experiment.seconds_left) == (phase, 120.0, 8.5)
        assert watch.step_timeout() == 60


class TestIsHung:
    def test_after_the_step_timeout_without_a_report(self, watch, clock):
        """Before the first step the startup timeout holds, then the step timeout."""
        for timeout in (60, 2):
            waited = 0.0
            while not watch.is_hung():
                pass_time(watch, clock, 0.25)
                waited += 0.25
            assert waited == timeout + 0.25
            watch.record_progress(7)

    def test_excludes_a_suspension_of_the_supervisor(self, watch, clock):
        """A supervisor that was suspended does not take its training for hung, and still finds one that is."""
        watch.record_progress(7)
        pass_time(watch, clock, 600)
        assert not watch.is_hung()
        waited = 0.0
        while not watch.is_hung():
            pass_time(watch, clock, 0.25)
            waited += 0.25
        assert 1.5 <= waited <= 2.5

    def test_is_not_delayed_by_a_report_read_after_a_suspension(self, watch, clock):
        """A report that is read after a suspension starts the timeout then, and not later."""
        pass_time(watch, clock, 600)
        watch.record_progress(7)
        waited = 0.0
        while not watch.is_hung():
            pass_time(watch, clock, 0.25)
            waited += 0.25
        assert waited <= 2.5


class TestEnd:
    @pytest.mark.parametrize(
        ("stop", "status", "outcome"),
        [
            (None, "queued", ("lost", "it died")),
            ("cancel", "cancelled", ("cancelled", None)),
            ("pause", "paused", ("paused", None)),
            ("stopping", "queued", ("released", None)),
            ("time limit", "failed", ("failed", "it ran for longer than its max_run_seconds")),
        ],
    )
    def test_writes_what_the_training_was_asked_for(self, sqlite, clock, stop, status, outcome):
        """If a training process dies, its attempt ends as the stop that it was sent says, and is lost without one."""
        number = enqueue(sqlite, max_run_seconds=0.001 if stop == "time limit" else None)
        watch = ClaimWatch(sqlite, claimed(sqlite), WorkerSettings(database_url=sqlite.url), clock=clock)
        if stop in ("cancel", "pause"):
            do(sqlite, getattr(queue, stop), number)
        check_later(watch, clock, stopping=stop == "stopping")
        watch.end("it died")
        assert read(sqlite, number).status == status
        assert attempts(sqlite, number) == [outcome]

    def test_of_a_stopping_worker_releases_the_experiment(self, sqlite, claim, watch):
        """If the worker is stopping, the death of its training process does not count as a lost attempt."""
        watch.end("it died", stopping=True)
        assert attempts(sqlite, claim.experiment_id) == [("released", None)]

    def test_of_a_lost_claim_writes_nothing(self, sqlite, claim, watch, clock):
        """Once the claim is lost, the attempt of another worker is left alone."""
        lose(sqlite, claim)
        current = claimed(sqlite)
        assert check_later(watch, clock) == StopReason.CLAIM_LOST
        watch.end("it died")
        assert read(sqlite, claim.experiment_id).attempt == current.attempt
        assert attempts(sqlite, claim.experiment_id) == [("lost", "no heartbeat"), (None, None)]

    def test_without_a_claim_is_only_logged(self, sqlite, claim, watch, caplog):
        """If the claim is lost and nobody has noticed yet, the write is refused and logged."""
        do(sqlite, claims.succeed, claim)
        watch.end("it died")
        assert "the end of the attempt was not written" in caplog.text
        assert attempts(sqlite, claim.experiment_id) == [("succeeded", None)]


def test_every_stop_reason_but_a_lost_claim_has_a_verb():
    """The table from a stop reason to the verb that ends the claim is complete."""
    assert [reason for reason in StopReason if claims.verb_of(reason) is None] == [StopReason.CLAIM_LOST]
