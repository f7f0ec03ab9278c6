"""A record that waits for a database that is away: how often it is tried, and that training goes on meanwhile."""

import time

import pytest
from sqlalchemy.exc import OperationalError

from service.experiments.claims import Claim
from tests.factories import record_of
from worker import recorder
from worker.recorder import Recorder


class Away:
    """A database that is away until it is back; a try lasts a tenth of a second."""

    def __init__(self):
        self.tries, self.is_back = 0, False

    def begin(self):
        self.tries += 1
        if not self.is_back:
            time.sleep(0.1)
            raise OperationalError("", {}, Exception("away"))
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def away(monkeypatch):
    monkeypatch.setattr(recorder, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(recorder.recording, "record", lambda session, held, made: None)
    return Away()


def test_a_record_that_waits_is_tried_between_steps_for_half_of_the_time_at_most_and_written_when_it_can_be(away):
    class Database:
        writing = away

    one = Recorder(Database, Claim(1, 1), lambda: None)
    one.record(record_of(0))
    began, steps = time.monotonic(), 0
    while time.monotonic() - began < 1.0:
        assert not one.is_free()
        steps += 1
        time.sleep(0.001)
    assert 3 <= away.tries <= 6
    assert steps > 200
    away.is_back = True
    time.sleep(0.15)
    assert one.is_free()
