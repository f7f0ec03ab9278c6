"""`python -m tests.torture.defects`: would the tests notice? Defects are planted one at a time in a copy of the code.

For each the test that is named must fail; in the code as it is they all pass, or their failing would prove nothing.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("normcore", "normlab", "service", "worker", "migrations", "tests", "pyproject.toml", "README.md", "LICENSE")
PASSED, FAILED = 0, 1  # of pytest's exit codes; the others mean that no test was run
LONGEST_SECONDS = 250.0  # of a test


@dataclass(frozen=True)
class Defect:
    """name: what is wrong. before is found once in the file, and after put in its place. caught_by: a test."""

    name: str
    file: str
    before: str
    after: str
    caught_by: str


TRAINING = "tests/worker/training/test_training.py::"
QUEUE = "tests/normlab/store/test_queue.py::"
DEFECTS = [
    Defect(
        "a finish, like every write of a worker, goes by the experiment's id alone",
        "normlab/store/claims.py",
        "Experiment.attempt == claim.attempt, Experiment.status == Status.RUNNING",
        "Experiment.status == Status.RUNNING",
        f"{QUEUE}test_a_stale_worker_cannot_write_to_a_reclaimed_experiment",
    ),
    Defect(
        "the application's clock tells leases",
        "normlab/store/database.py",
        'return "extract(epoch from clock_timestamp())::double precision"',
        'return f"{time.time()}::double precision"',
        "tests/torture/test_short_forms.py::test_a_lease_that_has_run_out_is_taken_over_soon_and_never_before_whatever_"
        "the_workers_clocks_say",
    ),
    Defect(
        "a lease is over a second early",
        "normlab/store/claims.py",
        "Experiment.lease_expires_at < database_now()",
        "Experiment.lease_expires_at < database_now() + 1.0",
        "tests/torture/test_short_forms.py::test_a_lease_that_has_run_out_is_taken_over_soon_and_never_before_whatever_"
        "the_workers_clocks_say",
    ),
    Defect(
        "one lost attempt more than the cap",
        "normlab/store/lost_attempts.py",
        "_lost_attempts() >= max_attempts",
        "_lost_attempts() > max_attempts",
        f"{QUEUE}test_an_experiment_that_loses_its_worker_again_and_again_fails_and_lets_the_next_one_run",
    ),
    Defect(
        "metrics are committed before their checkpoint",
        "normlab/store/records.py",
        "    _replace_checkpoint(session, claim.experiment_id, record.checkpoint)",
        "    session.commit()\n    _replace_checkpoint(session, claim.experiment_id, record.checkpoint)",
        "tests/normlab/store/test_recording.py::test_a_record_that_cannot_be_written_leaves_nothing_behind",
    ),
    Defect(
        "a resumed training forgets the epoch's running sums",
        "worker/training/training.py",
        "inside = not sums.keys().isdisjoint(state)",
        "inside, state = False, {name: it for name, it in state.items() if name not in sums}",
        f"{TRAINING}TestResume::test_interrupted_training_ends_bit_identically",
    ),
    Defect(
        "a generator's state, of dropout's masks, is not in the checkpoint",
        "worker/training/checkpoints.py",
        "for group, tensors in groups.items() for name, tensor in tensors.items()}",
        'for group, tensors in groups.items() for name, tensor in tensors.items() if "calls" not in name}',
        f"{TRAINING}TestLearning::test_custom_network_learns_and_resumes_bit_identically",
    ),
    Defect(
        "the optimizer's step count is not restored",
        "worker/training/training.py",
        'self.optimizer.steps = int(state["steps"])',
        "self.optimizer.steps = int(state[\"steps\"]) // self.steps_per_epoch * self.steps_per_epoch",
        f"{TRAINING}TestResume::test_interrupted_training_ends_bit_identically",
    ),
    Defect(
        "a checkpoint's hash is not looked at",
        "worker/training/checkpoints.py",
        "if hashlib.sha256(content).hexdigest() != sha256:",
        "if not content:",
        f"{TRAINING}TestResume::test_wrong_checkpoint_is_refused",
    ),
    Defect(
        "groups take no turns",
        "normlab/store/claims.py",
        "GroupRow.name == candidate.queue_group).values(claimed_at=database_now())",
        "GroupRow.name == candidate.queue_group).values(claimed_at=GroupRow.claimed_at)",
        f"{QUEUE}test_a_higher_priority_goes_first_then_groups_take_turns_then_the_oldest",
    ),
    Defect(
        "a pause overrules a cancellation",
        "normlab/store/queue.py",
        "if experiment.requested_action == RequestedAction.CANCEL:",
        "if experiment.requested_action is ...:",
        f"{QUEUE}test_pausing_what_runs_is_a_wish_that_can_be_withdrawn_and_gives_way_to_a_cancellation",
    ),
    Defect(
        "an idempotency key answers for another body",
        "normlab/store/enqueue.py",
        "experiment if digest == idempotency.digest else",
        "experiment if digest else",
        f"{QUEUE}test_an_idempotency_key_means_one_experiment_and_one_body",
    ),
    Defect(
        "what a shared transaction raised is told to nobody",
        "service/enqueue_batch.py",
        "                    for _, future in batch:\n                        _resolve(future, error)",
        "                    _resolve(batch[0][1], error)",
        "tests/service/test_enqueue_batch.py::TestErrors::test_database_error_reaches_the_whole_batch",
    ),
    Defect(
        "a child outlives its supervisor",
        "worker/run/child.py",
        "    die_with_parent()\n    for",
        "    os._exit = print\n    for",
        "tests/worker/supervisor/test_worker.py::TestTrainingProcess::test_ends_with_its_supervisor",
    ),
    Defect(
        "a child that hangs is let be",
        "worker/supervisor/claim_watch.py",
        "> self.step_timeout()",
        "> 1e9",
        "tests/worker/supervisor/test_worker.py::TestHungTraining::test_loses_its_attempt_and_logs_its_stack",
    ),
    Defect(
        "the Host is not looked at",
        "service/middleware/host_and_origin.py",
        "if _name(host) not in self._hosts:",
        "if not self._hosts:",
        "tests/service/middleware/test_host_and_origin.py::TestHost::test_other_name_is_refused",
    ),
    Defect(
        "a route that says nothing is open",
        "service/authorization.py",
        'getattr(self.endpoint, "need", None)',
        'getattr(self.endpoint, "need", "read")',
        "tests/service/middleware/test_authentication.py::TestScopes::test_route_without_declaration_is_closed",
    ),
    Defect(
        "a revoked key still opens",
        "normlab/store/api_keys.py",
        "if row is None or not matches or row.revoked_at is not None:",
        "if row is None or not matches:",
        "tests/service/middleware/test_authentication.py::TestKey::test_revoked_key_is_refused",
    ),
    Defect(
        "a body is believed what it says of its length",
        "service/middleware/request_body.py",
        "    if len(body) > MAX_BODY_BYTES:\n        return too_large()\n",
        "",
        "tests/service/middleware/test_request_body.py::TestSize::test_body_is_counted_as_it_arrives",
    ),
    Defect(
        "a log holds keys",
        "normlab/process/logging.py",
        r'return _KEY.sub(r"\1…", line)',
        "return line",
        "tests/normlab/process/test_logging.py::test_a_key_in_a_line_is_blacked_out_wherever_it_stands",
    ),
    Defect(
        "a full disk is the service's failure",
        "service/problems.py",
        "for away in TRANSIENT_ERRORS:",
        "for away in TRANSIENT_ERRORS[1:]:",
        "tests/service/test_readiness.py::TestDatabase::test_full_disk",
    ),
    Defect(
        "a newer schema is served",
        "normlab/store/schema.py",
        "return SchemaStatus.OLDER if revision in known else SchemaStatus.NEWER",
        "return SchemaStatus.OLDER if revision in known else SchemaStatus.CURRENT",
        "tests/service/test_readiness.py::TestSchema::test_other_schema_is_not_served",
    ),
]  # fmt: skip


def main() -> None:
    """Plant them all, say what came of it in one line, and exit with the number of those that nothing noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=len(DEFECTS), metavar="N", help="only so many")
    arguments = parser.parse_args()
    raise SystemExit(len(plant(DEFECTS[: arguments.first])))


def plant(defects: list[Defect]) -> list[str]:
    """The names of those that their test does not catch, or whose test fails without them too."""
    began, uncaught = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        copy.mkdir()
        for name in COPIED:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        sound = _run(copy, sorted({defect.caught_by for defect in defects}))
        for defect in defects:
            file = copy / defect.file
            right = file.read_text()
            file.write_text(planted(right, defect))
            caught = sound == PASSED and _run(copy, [defect.caught_by]) == FAILED
            file.write_text(right)
            if not caught:
                uncaught.append(defect.name)
    print(
        f"defects: {len(defects)} planted one at a time in {time.monotonic() - began:.0f} s; the tests "
        f"{'pass' if sound == PASSED else 'FAIL'} without them; {len(uncaught)} not caught"
        + "".join(f", {name}" for name in uncaught),
        flush=True,
    )
    return uncaught


def planted(source: str, defect: Defect) -> str:
    """The source with it. Raises ValueError if it is not there to be spoiled, once."""
    if source.count(defect.before) != 1:
        raise ValueError(f"{defect.file} has changed: {defect.before!r} is there {source.count(defect.before)} times")
    return source.replace(defect.before, defect.after)


def _run(copy, tests):
    # A base directory of its own: without one pytest shuts the shared one, and PostgreSQL, another user, out of it.
    apart = ["-p", "no:cacheprovider", f"--basetemp={copy.parent / 'tests'}"]
    quick = ["-p", "no:schemathesis", "-p", "no:hypothesispytest"]  # which none of these tests needs, to start sooner
    command = [sys.executable, "-m", "pytest", "-q", "-x", *apart, *quick, *tests]
    with subprocess.Popen(
        command, cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        try:
            return running.wait(LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):  # a defect may well leave processes behind
                os.killpg(running.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
