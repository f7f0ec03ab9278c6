"""A record that waits for the database: how often it is tried, and that the training continues meanwhile."""

import time

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from normlab.store import claims
from tests.experiments import claimed, enqueue, read
from tests.factories import record_of
from worker.run.recorder import Recorder


class UnavailableDatabase:
    """A database that does not answer until `is_back`. An attempt takes a tenth of a second."""

    def __init__(self, database):
        self._database, self.attempts, self.is_back = database, 0, False

    @property
    def writing(self):
        return self

    def begin(self):
        self.attempts += 1
        if not self.is_back:
            time.sleep(0.1)
            raise OperationalError("", {}, Exception("the database is unavailable"))
        return self._database.writing.begin()


class TestPendingRecord:
    def test_is_tried_for_half_of_the_time_and_then_written(self, postgresql):
        """A pending record is tried between steps, takes at most half of the time, and is written in the end."""
        number, claim = enqueue(postgresql), claimed(postgresql)
        unavailable = UnavailableDatabase(postgresql)
        recorder = Recorder(unavailable, claim, lambda: None, retry_seconds=0.05)
        recorder.record(record_of(0))
        began, steps = time.monotonic(), 0
        while time.monotonic() - began < 1.0:
            assert not recorder.is_free()
            steps += 1
            time.sleep(0.001)
        assert 3 <= unavailable.attempts <= 6
        assert steps > 200
        assert read(postgresql, number).epochs_done == 0
        unavailable.is_back = True
        time.sleep(0.15)
        assert recorder.is_free()
        assert read(postgresql, number).epochs_done == 1


class TestWrite:
    def test_waits_for_a_read_only_server(self, postgresql):
        """A server that is read-only for a while, as after a failover, is tried again."""
        number, claim = enqueue(postgresql), claimed(postgresql)
        calls = []

        def succeed(session, claim):
            calls.append(claim)
            if len(calls) == 1:
                session.execute(text("SET TRANSACTION READ ONLY"))
            claims.succeed(session, claim)

        Recorder(postgresql, claim, lambda: None, retry_seconds=0.01).write(succeed)
        assert len(calls) == 2
        assert read(postgresql, number).status == "succeeded"
