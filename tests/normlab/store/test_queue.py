"""The life of an experiment in the queue, on both databases."""

import threading
import time
from functools import partial

import pytest
from sqlalchemy import event, select, update

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.lifecycle import StopReason
from normlab.store import claims, lost_attempts, queue, records
from normlab.store.database import database_now
from normlab.store.enqueue import IdempotencyKey
from normlab.store.errors import ClaimLost, IdempotencyKeyReused, InvalidState, NoSuchExperiment, NoSuchGroup
from normlab.store.models import Attempt, CheckpointRow, EpochRow, Experiment, HistogramRow
from tests import experiments
from tests.experiments import claimed as claim
from tests.experiments import do, read
from tests.factories import record_of

SPEC = ExperimentSpec(dataset="digits", tags=["a", "b"])


def enqueue(database, spec=SPEC, **options):
    return experiments.enqueue(database, spec, **options)


def expire(database, experiment_id):
    with database.writing.begin() as session:
        session.execute(
            update(Experiment).where(Experiment.id == experiment_id).values(lease_expires_at=database_now() - 1)
        )


def test_the_oldest_is_claimed_first_and_an_empty_queue_gives_nothing(database):
    first, second = enqueue(database), enqueue(database)
    assert [claim(database).experiment_id, claim(database).experiment_id] == [first, second]
    assert claim(database) is None


def test_forty_experiments_claimed_by_four_workers_at_once_are_each_claimed_once(database):
    wanted = {enqueue(database) for _ in range(40)}
    claimed = []

    def work():
        while held := claim(database):
            claimed.append(held.experiment_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A claim may come back empty while others hold the oldest row; what is left is claimed by the next look.
    work()
    assert len(claimed) == 40
    assert set(claimed) == wanted


def test_the_databases_clock_is_seconds_since_1970(database):
    with database.reading() as session:
        assert abs(session.scalar(select(database_now())) - time.time()) < 5


def test_a_lease_that_ran_out_is_put_back_and_a_live_one_is_not(database):
    stalled, live = enqueue(database), enqueue(database)
    claim(database), claim(database)
    expire(database, stalled)
    assert do(database, lost_attempts.requeue_stalled) == 1
    assert (read(database, stalled).status, read(database, live).status) == ("queued", "running")


def test_a_wish_whose_worker_is_lost_before_it_heeds_it_stands_in_nobodys_way(database):
    cancelled, paused = enqueue(database), enqueue(database)
    claim(database), claim(database)
    do(database, queue.cancel, cancelled)
    do(database, queue.pause, paused)
    expire(database, cancelled), expire(database, paused)
    assert do(database, queue.retry, cancelled).status == "queued"
    assert do(database, queue.resume, paused).status == "queued"


def test_who_asks_what_is_wished_of_an_experiment_that_is_deleted_meanwhile_has_lost_it(postgresql):
    number = enqueue(postgresql, ExperimentSpec(dataset="digits", max_run_seconds=100))
    held = claim(postgresql)

    def delete(connection, cursor, statement, parameters, context, many):
        do(postgresql, queue.remove, number, force=True)

    event.listen(postgresql.reader, "after_cursor_execute", delete, once=True)
    with postgresql.reading() as session, pytest.raises(ClaimLost):
        claims.stop_reason(session, held)


@pytest.mark.parametrize("way", ["released", "lease ran out"])
def test_a_cancellation_asked_for_is_kept_when_the_worker_lets_go(database, way):
    number = enqueue(database)
    held = claim(database)
    do(database, queue.cancel, number)
    if way == "released":
        do(database, claims.release, held)
    else:
        expire(database, number)
        do(database, lost_attempts.requeue_stalled)
    experiment = read(database, number)
    assert (experiment.status, experiment.lease_expires_at) == ("cancelled", None)
    assert experiment.ended_at is not None
    assert claim(database) is None


def test_an_experiment_that_loses_its_worker_again_and_again_fails_and_lets_the_next_one_run(database):
    deadly, harmless = enqueue(database), enqueue(database)
    for attempt in range(1, lost_attempts.MAX_ATTEMPTS + 1):
        held = claim(database)
        assert (held.experiment_id, held.attempt) == (deadly, attempt)
        expire(database, deadly)
        do(database, lost_attempts.requeue_stalled)
    experiment = read(database, deadly)
    assert experiment.status == "failed"
    assert "lost 5 times" in experiment.error
    assert claim(database).experiment_id == harmless


STALE_WRITES = {
    "heartbeat": partial(claims.heartbeat, step=1, lease_seconds=30),
    "describe": partial(claims.start_attempt, provenance={}, steps_total=1, resumed_at_step=None),
    "certify": partial(claims.store_gradient_check, gradient_check=[]),
    "record": partial(records.record, record=record_of(0)),
    "release": claims.release,
    "succeed": claims.succeed,
    "fail": partial(claims.fail, error="no"),
    "cancel": claims.cancel,
}


@pytest.mark.parametrize("write", STALE_WRITES.values(), ids=STALE_WRITES)
def test_a_stale_worker_cannot_write_to_a_reclaimed_experiment(database, write):
    number = enqueue(database)
    stale = claim(database)
    expire(database, number)
    do(database, lost_attempts.requeue_stalled)
    with pytest.raises(ClaimLost):  # not while it waits …
        do(database, lambda session: write(session, stale))
    current = claim(database, worker="other")
    assert (stale.attempt, current.attempt) == (1, 2)

    with pytest.raises(ClaimLost):  # … and not when another has it
        do(database, lambda session: write(session, stale))

    experiment = read(database, number)
    assert (experiment.status, experiment.worker, experiment.epochs_done) == ("running", "other", 0)
    assert (experiment.step, experiment.error, experiment.provenance) == (0, None, None)
    with database.reading() as session:
        assert records.metrics(session, number) == []


def test_a_heartbeat_lengthens_the_lease_notes_the_step_and_tells_of_a_cancellation(database):
    number = enqueue(database)
    held = claim(database)
    expire(database, number)
    assert do(database, claims.heartbeat, held, step=7, lease_seconds=30) is None
    assert do(database, lost_attempts.requeue_stalled) == 0
    assert read(database, number).step == 7
    do(database, queue.cancel, number)
    assert do(database, claims.heartbeat, held, step=8, lease_seconds=30) == "cancel"


def test_what_is_given_back_is_claimed_again_with_its_records(database):
    number = enqueue(database)
    held = claim(database)
    do(database, records.record, held, record_of(0))
    do(database, claims.release, held)
    again = claim(database)
    assert (again.experiment_id, again.attempt) == (number, 2)
    with database.reading() as session:
        assert len(records.metrics(session, number)) == 1


def test_cancelling_ends_what_is_queued_asks_what_runs_and_refuses_what_has_ended(database):
    queued, running = enqueue(database), enqueue(database)
    do(database, queue.cancel, queued)
    held = claim(database)
    assert held.experiment_id == running
    assert do(database, queue.cancel, running).status == "running"
    do(database, claims.cancel, held)
    for number in (queued, running):
        assert read(database, number).status == "cancelled"
        with pytest.raises(InvalidState, match="already been cancelled"):
            do(database, queue.cancel, number)


def test_retrying_queues_what_failed_or_was_cancelled_and_nothing_else(database):
    number = enqueue(database)
    with pytest.raises(InvalidState, match="is queued"):
        do(database, queue.retry, number)
    do(database, claims.fail, claim(database), "it broke")
    assert read(database, number).error == "it broke"
    retried = do(database, queue.retry, number)
    assert (retried.status, retried.error, retried.ended_at) == ("queued", None, None)
    do(database, claims.succeed, claim(database))
    with pytest.raises(InvalidState, match="is succeeded"):
        do(database, queue.retry, number)


def test_removing_takes_all_records_of_one_experiment_and_refuses_a_running_one(database):
    gone, kept = enqueue(database), enqueue(database)
    for _ in range(2):
        do(database, records.record, claim(database), record_of(0))
    with pytest.raises(InvalidState, match="is running"):
        do(database, queue.remove, gone)
    expire(database, gone)
    do(database, lost_attempts.requeue_stalled)
    do(database, queue.remove, gone)
    with database.reading() as session:
        for table in (EpochRow, HistogramRow, CheckpointRow):
            assert set(session.scalars(select(table.experiment_id))) == {kept}
    with pytest.raises(NoSuchExperiment):
        do(database, queue.remove, gone)


def test_a_number_is_never_given_twice(database):
    last = [enqueue(database) for _ in range(3)][-1]
    do(database, queue.remove, last)
    assert enqueue(database) > last


def test_an_idempotency_key_means_one_experiment_and_one_body(database):
    first = enqueue(database, idempotency=IdempotencyKey("k", "d"))
    assert enqueue(database, idempotency=IdempotencyKey("k", "d")) == first
    with pytest.raises(IdempotencyKeyReused, match="another body"):
        enqueue(database, idempotency=IdempotencyKey("k", "other"))
    assert enqueue(database, idempotency=IdempotencyKey("k2", "d")) != first


def spec(**fields):
    return ExperimentSpec(dataset="digits", **fields)


def claimed_in_order(database):
    order = []
    while held := claim(database):
        order.append(held.experiment_id)
    return order


def test_a_higher_priority_goes_first_then_groups_take_turns_then_the_oldest(database):
    large = [enqueue(database, spec(group="large")) for _ in range(4)]
    small = [enqueue(database, spec(group="small")) for _ in range(2)]
    alone = enqueue(database)
    urgent = enqueue(database, spec(group="large", priority=1))
    order = claimed_in_order(database)
    assert order[0] == urgent
    assert [number for number in order if number in large] == large
    assert [number for number in order if number in small] == small
    # No group waits while another, which had a claim later, gets one.
    assert set(order[1:3]) == {small[0], alone}
    assert order[3:6] == [large[0], small[1], large[1]]


def test_a_priority_is_changed_while_an_experiment_waits_and_only_then(database):
    first, second = enqueue(database), enqueue(database)
    assert do(database, queue.prioritize, second, 5).priority == 5
    assert claim(database).experiment_id == second
    with pytest.raises(InvalidState, match="is running"):
        do(database, queue.prioritize, second, 6)
    assert claim(database).experiment_id == first


def test_a_paused_experiment_is_not_claimed_until_it_is_resumed_and_keeps_its_place(database):
    first, second = enqueue(database), enqueue(database)
    assert do(database, queue.pause, first).status == "paused"
    assert do(database, queue.pause, first).status == "paused"
    assert claim(database).experiment_id == second
    assert claim(database) is None
    assert do(database, queue.resume, first).status == "queued"
    assert claim(database).experiment_id == first


def test_pausing_what_runs_is_a_wish_that_can_be_withdrawn_and_gives_way_to_a_cancellation(database):
    number = enqueue(database)
    held = claim(database)
    assert do(database, queue.pause, number).requested_action == "pause"
    assert do(database, claims.stop_reason, held) == "pause"
    assert do(database, queue.resume, number).requested_action is None
    assert do(database, claims.stop_reason, held) is None
    do(database, queue.pause, number)
    do(database, queue.cancel, number)
    with pytest.raises(InvalidState, match="is being cancelled"):
        do(database, queue.pause, number)
    assert do(database, claims.heartbeat, held, step=1, lease_seconds=30) == "cancel"


@pytest.mark.parametrize("way", ["released", "lease ran out"])
def test_a_pause_is_heeded_however_the_worker_lets_go(database, way):
    number = enqueue(database)
    held = claim(database)
    do(database, queue.pause, number)
    if way == "released":
        do(database, claims.release, held)
    else:
        expire(database, number)
        do(database, lost_attempts.requeue_stalled)
    experiment = read(database, number)
    assert (experiment.status, experiment.requested_action, experiment.lease_expires_at) == ("paused", None, None)


@pytest.mark.parametrize(("verb", "status"), [(queue.cancel, "cancelled"), (queue.pause, "paused")])
def test_who_has_lost_its_worker_heeds_a_wish_at_once_though_all_other_workers_are_busy(database, verb, status):
    number = enqueue(database)
    claim(database)
    expire(database, number)
    assert do(database, verb, number).status == status
    assert (read(database, number).requested_action, read(database, number).worker) == (None, None)
    with database.reading() as session:
        assert session.get_one(Attempt, (number, 1)).outcome == "lost"


def test_of_a_paused_group_those_without_a_worker_are_paused_at_once(database):
    lost, kept = enqueue(database, spec(group="a")), enqueue(database, spec(group="a"))
    claim(database), claim(database)
    expire(database, lost)
    assert do(database, queue.pause_group, "a") == [lost, kept]
    assert (read(database, lost).status, read(database, kept).status) == ("paused", "running")
    assert read(database, kept).requested_action == "pause"


def test_a_group_is_paused_and_resumed_as_one_and_no_other_with_it(database):
    running, waiting = enqueue(database, spec(group="a")), enqueue(database, spec(group="a"))
    claim(database)
    other = enqueue(database, spec(group="b"))
    assert set(do(database, queue.pause_group, "a")) == {running, waiting}
    assert (read(database, running).requested_action, read(database, waiting).status) == ("pause", "paused")
    assert claim(database).experiment_id == other
    assert set(do(database, queue.resume_group, "a")) == {running, waiting}
    assert (read(database, running).requested_action, read(database, waiting).status) == (None, "queued")
    with pytest.raises(NoSuchGroup):
        do(database, queue.pause_group, "c")


@pytest.mark.parametrize("verb", [queue.cancel, queue.pause, queue.resume, partial(queue.prioritize, priority=1)])
def test_what_has_ended_refuses_every_verb_with_its_state(database, verb):
    number = enqueue(database)
    do(database, claims.succeed, claim(database))
    with pytest.raises(InvalidState, match="succeeded"):
        do(database, verb, number)


def test_a_retry_from_the_start_drops_the_records_and_one_from_the_checkpoint_does_not(database):
    number = enqueue(database)
    for from_start, epochs in ((False, 1), (True, 0)):
        held = claim(database)
        if not from_start:
            do(database, records.record, held, record_of(0))
        do(database, claims.fail, held, "it broke")
        retried = do(database, queue.retry, number, from_start=from_start)
        assert retried.epochs_done == epochs
        with database.reading() as session:
            assert len(records.metrics(session, number)) == epochs
            assert (records.checkpoint(session, number) is None) == from_start


def test_attempts_before_a_retry_do_not_count_and_are_kept(database):
    number = enqueue(database)
    for _ in range(lost_attempts.MAX_ATTEMPTS):
        claim(database)
        expire(database, number)
        do(database, lost_attempts.requeue_stalled)
    assert read(database, number).status == "failed"
    do(database, queue.retry, number)
    claim(database)
    expire(database, number)
    do(database, lost_attempts.requeue_stalled)
    assert read(database, number).status == "queued"
    with database.reading() as session:
        outcomes = session.scalars(select(Attempt.outcome).where(Attempt.experiment_id == number)).all()
    assert outcomes == ["lost"] * (lost_attempts.MAX_ATTEMPTS + 1)


def test_what_is_given_back_does_not_count_as_lost(database):
    number = enqueue(database)
    for _ in range(lost_attempts.MAX_ATTEMPTS + 2):
        do(database, claims.release, claim(database))
    do(database, lost_attempts.mark_lost, claim(database), "it died")
    assert read(database, number).status == "queued"


def test_time_is_up_after_so_many_seconds_over_all_attempts(database):
    number = enqueue(database, spec(max_run_seconds=100))
    do(database, claims.release, claim(database))
    with database.writing.begin() as session:
        session.execute(update(Attempt).values(claimed_at=Attempt.ended_at - 101))
    held = claim(database)
    assert held.experiment_id == number
    assert do(database, claims.heartbeat, held, step=0, lease_seconds=30) == StopReason.TIME_LIMIT


def test_the_time_after_a_lease_in_which_nobody_ran_it_is_not_counted(database):
    enqueue(database, spec(max_run_seconds=1.0))
    do(database, claims.claim, worker="w", lease_seconds=0.1)
    time.sleep(1.2)
    assert do(database, lost_attempts.requeue_stalled) == 1
    held = claim(database)
    assert do(database, claims.heartbeat, held, step=None, lease_seconds=30) is None
    with database.reading() as session:
        assert claims.stop_reason(session, held) is None


def test_that_its_time_is_up_is_seen_at_every_look(database):
    enqueue(database, spec(max_run_seconds=0.01))
    held = claim(database)
    time.sleep(0.1)
    with database.reading() as session:
        assert claims.stop_reason(session, held) == StopReason.TIME_LIMIT


def test_a_supervisor_that_knows_no_step_or_an_old_one_takes_none_back(database):
    number = enqueue(database)
    held = claim(database)
    do(database, claims.start_attempt, held, provenance={}, steps_total=100, resumed_at_step=55)
    for known, step in ((None, 55), (60, 60), (57, 60)):
        do(database, claims.heartbeat, held, step=known, lease_seconds=30)
        assert read(database, number).step == step
    do(database, claims.release, held)
    do(database, claims.start_attempt, claim(database), provenance={}, steps_total=100, resumed_at_step=None)
    assert read(database, number).step == 0


def test_a_failure_is_written_whatever_characters_it_is_told_in(database):
    number = enqueue(database)
    do(database, claims.fail, claim(database), "cannot read caf\udce9\0.png")
    assert (read(database, number).status, read(database, number).error) == ("failed", "cannot read caf??.png")


def test_who_gives_up_an_attempt_waits_for_whoever_changes_the_experiment(postgresql):
    number = enqueue(postgresql)
    held = claim(postgresql)
    with postgresql.writing.begin() as session:
        session.execute(select(Experiment).where(Experiment.id == number).with_for_update())
        losing = threading.Thread(target=do, args=[postgresql, lost_attempts.mark_lost, held, "it died"])
        losing.start()
        time.sleep(0.3)
        assert losing.is_alive()
    losing.join(10)
    assert read(postgresql, number).status == "queued"


def test_of_two_claims_at_once_each_takes_another_groups_turn(postgresql):
    first, _, other = (enqueue(postgresql, spec(group=group)) for group in ("a", "a", "b"))
    got = []
    with postgresql.writing.begin() as session:
        got.append(claims.claim(session, worker="w", lease_seconds=30).experiment_id)
        claiming = threading.Thread(target=lambda: got.append(claim(postgresql).experiment_id))
        claiming.start()
        time.sleep(0.3)
    claiming.join(10)
    assert got == [first, other]


def test_removing_by_force_takes_the_claim_too(database):
    number = enqueue(database)
    held = claim(database)
    do(database, queue.remove, number, force=True)
    with pytest.raises(ClaimLost):
        do(database, records.record, held, record_of(0))


def test_a_record_written_twice_is_there_once(database):
    enqueue(database)
    held = claim(database)
    for _ in range(2):  # as by a writer that was cut off before it heard that it was written
        do(database, records.record, held, record_of(0))
    with database.reading() as session:
        assert len(records.metrics(session, held.experiment_id)) == 1


def test_a_look_tells_of_what_waits_and_of_what_is_lost(database):
    assert do(database, claims.has_work) == (False, False)
    number = enqueue(database)
    assert do(database, claims.has_work) == (True, False)
    claim(database)
    assert do(database, claims.has_work) == (False, False)
    expire(database, number)
    assert do(database, claims.has_work) == (False, True)


@pytest.mark.parametrize(("then", "status"), [(queue.resume, "queued"), (queue.cancel, "cancelled")])
def test_who_changes_a_wish_before_the_worker_heeds_it_has_the_last_word(database, then, status):
    number = enqueue(database)
    held = claim(database)
    do(database, queue.pause, number)
    assert do(database, claims.stop_reason, held) == "pause"  # now the worker is on its way to stop
    do(database, then, number)
    do(database, claims.release, held)
    assert read(database, number).status == status
