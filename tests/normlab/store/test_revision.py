"""The revision of an experiment: every write replaces it, and nothing else does, on both kinds of database."""

from normlab.spec.experiment import ExperimentSpec
from normlab.store import claims, lost_attempts, queue, records
from normlab.store.enqueue import Submission, enqueue_all
from tests.experiments import claimed, do, enqueue, expire, read
from tests.factories import record_of


class Walk:
    """Runs verbs on experiment 1, and asserts of each that it replaces the revision."""

    def __init__(self, database):
        self.database, self.seen = database, {read(database, 1).revision}

    def changes(self, verb, *arguments, **options):
        result = do(self.database, verb, *arguments, **options)
        revision = read(self.database, 1).revision
        assert revision not in self.seen, verb
        self.seen.add(revision)
        return result

    def claim(self):
        return self.changes(claims.claim, worker="w", lease_seconds=30)


class TestRevision:
    def test_new_experiments_have_their_own(self, database):
        """Experiments that are posted in one transaction have different revisions."""
        posted = do(database, enqueue_all, [Submission(ExperimentSpec(dataset="digits"))] * 3)
        revisions = {each.revision for each in posted}
        assert (len(revisions), {len(each) for each in revisions}) == (3, {32})

    def test_every_write_of_a_worker_replaces_it(self, database):
        """The revision is another one after each verb of a claim, from the claim to each of its ends."""
        enqueue(database)
        walk = Walk(database)
        claim = walk.claim()
        walk.changes(claims.start_attempt, claim, provenance={}, steps_total=9, resumed_at_step=None)
        walk.changes(claims.store_gradient_check, claim, [])
        walk.changes(records.record, claim, record_of(0))
        walk.changes(claims.release, claim)
        walk.changes(lost_attempts.mark_lost, walk.claim(), "hung")
        walk.claim()
        expire(database, 1)
        walk.changes(lost_attempts.requeue_stalled)
        walk.changes(claims.fail, walk.claim(), "an error")
        walk.changes(queue.retry, 1)
        walk.changes(claims.cancel, walk.claim())
        walk.changes(queue.retry, 1, from_start=True)
        walk.changes(claims.succeed, walk.claim())

    def test_every_verb_of_a_user_replaces_it(self, database):
        """The revision is another one after each verb of the queue, for a waiting and for a running experiment."""
        enqueue(database, group="g")
        walk = Walk(database)
        walk.changes(queue.prioritize, 1, 5)
        for verb, subject in ((queue.pause, 1), (queue.resume, 1), (queue.pause_group, "g"), (queue.resume_group, "g")):
            walk.changes(verb, subject)
        walk.claim()
        for verb, subject in ((queue.pause, 1), (queue.resume, 1), (queue.pause_group, "g"), (queue.resume_group, "g")):
            walk.changes(verb, subject)
        walk.changes(queue.cancel, 1)

    def test_renewed_lease_keeps_it(self, database):
        """A heartbeat and a verb that changes nothing keep the revision, and so does a write to another experiment."""
        enqueue(database)
        claim = claimed(database)
        before = read(database, 1).revision
        do(database, claims.heartbeat, claim, step=3, lease_seconds=30)
        do(database, claims.stop_reason, claim)
        enqueue(database)
        do(database, queue.prioritize, 2, 5)
        assert (read(database, 1).revision, read(database, 1).step) == (before, 3)
