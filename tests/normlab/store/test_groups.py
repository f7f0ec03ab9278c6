"""Groups: all experiments of a group are paused and resumed together."""

import pytest

from normlab.store import queue
from normlab.store.errors import NoSuchGroup
from tests.experiments import claimed, do, enqueue, expire, read


class TestGroup:
    """pause_group and resume_group."""

    def test_is_paused_and_resumed(self, database):
        """The experiments of the group are paused and resumed, and no others. An unknown group is refused."""
        running, queued = enqueue(database, group="a"), enqueue(database, group="a")
        claimed(database)
        other = enqueue(database, group="b")
        assert set(do(database, queue.pause_group, "a")) == {running, queued}
        assert (read(database, running).requested_action, read(database, queued).status) == ("pause", "paused")
        assert claimed(database).experiment_id == other
        assert set(do(database, queue.resume_group, "a")) == {running, queued}
        assert (read(database, running).requested_action, read(database, queued).status) == (None, "queued")
        with pytest.raises(NoSuchGroup):
            do(database, queue.pause_group, "c")

    def test_pause_applies_at_once_without_a_worker(self, database):
        """Of a paused group, a running experiment whose worker is lost is paused at once."""
        lost, live = enqueue(database, group="a"), enqueue(database, group="a")
        claimed(database), claimed(database)
        expire(database, lost)
        assert do(database, queue.pause_group, "a") == [lost, live]
        assert (read(database, lost).status, read(database, live).status) == ("paused", "running")
        assert read(database, live).requested_action == "pause"
