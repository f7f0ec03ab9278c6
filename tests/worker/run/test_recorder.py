"""A record that waits for a database that is away: how often it is tried, and that training goes on meanwhile."""

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from normlab.store import claims
from normlab.store.claims import Claim
from normlab.store.models import Experiment
from tests.experiments import claimed, enqueue
from tests.factories import record_of
from worker.run import recorder
from worker.run.recorder import Recorder


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
    monkeypatch.setattr(recorder.records, "record", lambda session, claim, record: None)
    return Away()


def test_a_record_that_waits_is_tried_between_steps_for_half_of_the_time_at_most_and_written_when_it_can_be(away):
    class Database:
        writing = away

    one = Recorder(Database, Claim(1, 1), lambda: None, retry_seconds=0.05)
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


def test_a_server_that_is_read_only_for_a_while_as_after_a_failover_is_waited_for(postgresql):
    number, held = enqueue(postgresql), claimed(postgresql)
    tries = []

    def succeed(session, held):
        tries.append(held)
        if len(tries) == 1:
            session.execute(text("SET TRANSACTION READ ONLY"))
        claims.succeed(session, held)

    Recorder(postgresql, held, lambda: None).write(succeed)
    assert len(tries) == 2
    with postgresql.reading() as session:
        assert session.get_one(Experiment, number).status == "succeeded"
