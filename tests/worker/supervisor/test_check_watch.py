"""The watch over a gradient check: its heartbeats, and the end of a process that dies, hangs or must stop."""

import threading

import pytest

from normlab.store import claims, gradient_checks, queue, records
from tests.experiments import claimed, do, enqueue
from tests.factories import record_of
from worker.messages import CheckFinished
from worker.settings import WorkerSettings
from worker.supervisor.check_watch import CheckWatch
from worker.supervisor.training_process import Died


class Clock:
    """A clock that the reports of a process move."""

    now = 0.0

    def __call__(self):
        return self.now


class Process:
    """A training process that reports what it is given, one report after another, each after some seconds."""

    def __init__(self, clock, seconds, *reports):
        self.clock, self.seconds, self.reports, self.ends = clock, seconds, list(reports), []

    def receive(self, timeout):
        self.clock.now += self.seconds
        report = self.reports.pop(0) if self.reports else None
        return report() if callable(report) else report

    def kill(self):
        self.ends.append("kill")

    def abort(self):
        self.ends.append("abort")


@pytest.fixture
def check(sqlite):
    """A claimed check."""
    number, claim = enqueue(sqlite), claimed(sqlite)
    do(sqlite, records.record, claim, record_of(0))
    do(sqlite, claims.succeed, claim)
    do(sqlite, gradient_checks.request, number)
    return do(sqlite, gradient_checks.claim, worker="w", lease_seconds=1, max_attempts=5)


@pytest.fixture
def watched(sqlite, check):
    """Watch a process that gives these reports. Return whether it finished, how it was ended, and the check's row."""

    def watch(*reports, seconds=1.0, stop=False):
        stopping, clock = threading.Event(), Clock()
        if stop:
            stopping.set()
        process = Process(clock, seconds, *reports)
        settings = WorkerSettings(database_url=sqlite.url, startup_timeout_seconds=100)
        finished = CheckWatch(sqlite, check, settings, clock=clock).until_end(process, stopping)
        with sqlite.reading() as session:
            return finished, process.ends, gradient_checks.latest(session, check.experiment_id)

    return watch


class TestUntilEnd:
    def test_of_a_finished_check_sends_heartbeats(self, check, watched):
        """A check that takes longer than a third of the lease extends the lease, and its process is not ended."""
        finished, ends, row = watched(None, None, CheckFinished(claim=check), seconds=11.0)
        assert (finished, ends) == (True, [])
        assert row.lease_expires_at > row.requested_at + 20

    def test_of_a_dead_process_counts_a_loss(self, watched):
        """If the process dies, the check is free for the next worker and has lost one."""
        finished, _, row = watched(Died(exit_status="signal SIGKILL"))
        assert (finished, row.lease_expires_at, row.lost_attempts) == (False, None, 1)

    def test_of_a_stopping_worker_counts_no_loss(self, watched):
        """A worker that stops ends the process and releases the check."""
        finished, ends, row = watched(stop=True)
        assert (finished, ends, row.lease_expires_at, row.lost_attempts) == (False, ["kill"], None, 0)

    def test_of_a_hung_process_aborts_it(self, watched):
        """A check that takes longer than the startup timeout ends its process, whose stack is then in the log."""
        finished, ends, row = watched(seconds=51.0)
        assert (finished, ends, row.lost_attempts) == (False, ["abort"], 1)

    def test_of_a_lost_claim_kills_the_process(self, sqlite, check, watched):
        """If the experiment was deleted, the next heartbeat finds that out and ends the process."""
        finished, ends, row = watched(lambda: do(sqlite, queue.remove, check.experiment_id), seconds=11.0)
        assert (finished, ends, row) == (False, ["kill"], None)
