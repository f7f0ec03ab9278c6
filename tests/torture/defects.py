"""`python -m tests.torture.defects`: plant one defect at a time in a copy of the code, and run its test.

With the defect the test must fail, and without it the test must pass.
"""

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

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines

ROOT = Path(__file__).parents[2]
COPIED = ("normcore", "normlab", "service", "worker", "migrations", "tests", "pyproject.toml", "README.md", "LICENSE")
PASSED, FAILED = 0, 1  # pytest's exit codes. The others mean that no test was run.
TIMEOUT_SECONDS = 250.0  # of a test


@dataclass(frozen=True)
class Defect:
    """name: what is wrong. before: a text that occurs once in the file, replaced by after. caught_by: its test."""

    name: str
    file: str
    before: str
    after: str
    caught_by: str


DEFECTS = [
    Defect(
        "writes of a worker do not check the attempt",
        "normlab/store/claims.py",
        "Experiment.attempt == claim.attempt, Experiment.status == Status.RUNNING",
        "Experiment.status == Status.RUNNING",
        "tests/normlab/store/test_claim.py::TestStaleClaim::test_writes_nothing",
    ),
    Defect(
        "leases are measured by the application's clock",
        "normlab/store/database.py",
        'return "extract(epoch from clock_timestamp())::double precision"',
        'return f"{time.time()}::double precision"',
        "tests/torture/test_short_forms.py::TestWorkers::test_takeover_comes_after_the_lease_and_within_seconds",
    ),
    Defect(
        "a lease expires one second early",
        "normlab/store/claims.py",
        "Experiment.lease_expires_at < database_now()",
        "Experiment.lease_expires_at < database_now() + 1.0",
        "tests/torture/test_short_forms.py::TestWorkers::test_takeover_comes_after_the_lease_and_within_seconds",
    ),
    Defect(
        "an experiment may lose one attempt more than the limit",
        "normlab/store/lost_attempts.py",
        "_lost_attempts() >= max_attempts",
        "_lost_attempts() > max_attempts",
        "tests/normlab/store/test_release.py::TestLostAttempt::test_fails_after_too_many",
    ),
    Defect(
        "metrics are committed before their checkpoint",
        "normlab/store/records.py",
        "    _replace_checkpoint(session, claim.experiment_id, record.checkpoint)",
        "    session.commit()\n    _replace_checkpoint(session, claim.experiment_id, record.checkpoint)",
        "tests/normlab/store/test_records.py::TestRecord::test_writes_all_or_nothing",
    ),
    Defect(
        "a resumed training loses the sums of its epoch",
        "worker/training/training.py",
        "inside = not sums.keys().isdisjoint(state)",
        "inside, state = False, {name: it for name, it in state.items() if name not in sums}",
        "tests/worker/training/test_resume.py::TestResume::test_interrupted_training_ends_bit_identically",
    ),
    Defect(
        "the state of dropout's generator is missing from the checkpoint",
        "worker/training/checkpoints.py",
        "for group, tensors in groups.items() for name, tensor in tensors.items()}",
        'for group, tensors in groups.items() for name, tensor in tensors.items() if "calls" not in name}',
        "tests/worker/training/test_training.py::TestLearning::test_custom_network_learns_and_resumes_bit_identically",
    ),
    Defect(
        "the optimizer's step count is not restored",
        "worker/training/training.py",
        'self.optimizer.steps = int(state["steps"])',
        'self.optimizer.steps = int(state["steps"]) // self.steps_per_epoch * self.steps_per_epoch',
        "tests/worker/training/test_resume.py::TestResume::test_interrupted_training_ends_bit_identically",
    ),
    Defect(
        "the hash of a checkpoint is not checked",
        "worker/training/checkpoints.py",
        "if hashlib.sha256(content).hexdigest() != sha256:",
        "if not content:",
        "tests/worker/training/test_resume.py::TestResume::test_wrong_checkpoint_is_refused",
    ),
    Defect(
        "groups do not take turns",
        "normlab/store/claims.py",
        "GroupRow.name == candidate.queue_group).values(claimed_at=database_now())",
        "GroupRow.name == candidate.queue_group).values(claimed_at=GroupRow.claimed_at)",
        "tests/normlab/store/test_claim.py::TestClaim::test_order_is_priority_then_group_then_age",
    ),
    Defect(
        "a pause takes precedence over a cancellation",
        "normlab/store/queue.py",
        "if experiment.requested_action == RequestedAction.CANCEL:",
        "if experiment.requested_action is ...:",
        "tests/normlab/store/test_cancel_and_pause.py::TestPause::test_request_is_withdrawn_or_replaced",
    ),
    Defect(
        "an idempotency key is accepted with another body",
        "normlab/store/enqueue.py",
        "experiment if digest == idempotency.digest else",
        "experiment if digest else",
        "tests/normlab/store/test_idempotency.py::TestIdempotencyKey::test_names_one_experiment_and_one_body",
    ),
    Defect(
        "an error of a shared transaction reaches only its first request",
        "service/enqueue_batch.py",
        "                    for _, future in batch:\n                        _resolve(future, error)",
        "                    _resolve(batch[0][1], error)",
        "tests/service/test_enqueue_batch.py::TestErrors::test_database_error_reaches_the_whole_batch",
    ),
    Defect(
        "a training process outlives its supervisor",
        "worker/run/child.py",
        "    die_with_parent()\n",
        "    os._exit = print\n",
        "tests/worker/supervisor/test_worker.py::TestTrainingProcess::test_ends_with_its_supervisor",
    ),
    Defect(
        "a hung training is not ended",
        "worker/supervisor/claim_watch.py",
        "> self.step_timeout()",
        "> 1e9",
        "tests/worker/supervisor/test_worker.py::TestHungTraining::test_loses_its_attempt_and_logs_its_stack",
    ),
    Defect(
        "the Host header is not checked",
        "service/middleware/host_and_origin.py",
        "if _name(host) not in self._hosts:",
        "if not self._hosts:",
        "tests/service/middleware/test_host_and_origin.py::TestHost::test_other_name_is_refused",
    ),
    Defect(
        "a route that declares no permission is open",
        "service/http/authorization.py",
        'getattr(self.endpoint, "need", None)',
        'getattr(self.endpoint, "need", "read")',
        "tests/service/middleware/test_authentication.py::TestScopes::test_route_without_declaration_is_closed",
    ),
    Defect(
        "a revoked API key is still accepted",
        "normlab/store/api_keys.py",
        "if row is None or not matches or row.revoked_at is not None:",
        "if row is None or not matches:",
        "tests/service/middleware/test_authentication.py::TestKey::test_revoked_key_is_refused",
    ),
    Defect(
        "the Content-Length of a body is trusted",
        "service/middleware/request_body.py",
        "    if len(body) > MAX_BODY_BYTES:\n        return body_too_large()\n",
        "",
        "tests/service/middleware/test_request_body.py::TestSize::test_body_is_counted_as_it_arrives",
    ),
    Defect(
        "API keys are written to the log",
        "normlab/process/logging.py",
        'return _KEY.sub(r"\\1…", line)',
        "return line",
        "tests/normlab/process/test_logging.py::TestLog::test_line_holds_no_key",
    ),
    Defect(
        "a full disk gets 500",
        "service/http/problems.py",
        "for transient in TRANSIENT_ERRORS:",
        "for transient in TRANSIENT_ERRORS[1:]:",
        "tests/service/test_readiness.py::TestDatabase::test_full_disk",
    ),
    Defect(
        "a database with a newer schema is served",
        "normlab/store/schema.py",
        "return SchemaStatus.OLDER if revision in known else SchemaStatus.NEWER",
        "return SchemaStatus.OLDER if revision in known else SchemaStatus.CURRENT",
        "tests/service/test_readiness.py::TestSchema::test_other_schema_is_not_served",
    ),
    Defect(
        "a link to another class counts its images twice",
        "normlab/image_folder/walk.py",
        "elif real in visited:",
        'elif real in visited and kind == "file":',
        "tests/normlab/image_folder/test_listing.py::TestLinks::test_in_a_circle_or_to_another_class_are_found",
    ),
    Defect(
        "squares are summed about 0, where those of values far from 0 cancel",
        "normcore/histograms/histogram.cpp",
        "const double u = a[i] - rounded, v = b[i] - rounded;",
        "const double u = a[i], v = b[i];",
        "tests/normcore/histograms/test_histogram.py::TestMoments::test_deviations_are_those_of_two_passes",
    ),
    Defect(
        "the bins that a linear picture shows have five mantissa bits like the others",
        "normlab/store/histogram_bins.py",
        "PICTURE_BINS = 4_096",
        "PICTURE_BINS = 1",
        "tests/normlab/store/test_histogram_bins.py::TestLayout::test_bits_follow_the_range_and_the_number",
    ),
]  # fmt: skip


def main() -> None:
    """Plant all defects, print the result in one line, and exit with the number of defects that were not caught."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--first", type=int, default=len(DEFECTS), metavar="N", help="plant only the first N")
    arguments = parser.parse_args()
    raise SystemExit(len(plant(DEFECTS[: arguments.first])))


def plant(defects: list[Defect]) -> list[str]:
    """Return the names of the defects that their test does not catch, or whose test fails without them too."""
    began, uncaught = time.monotonic(), []
    with (
        ProgressLines("defects", len(defects), "defects", doing="tests without a defect") as progress,
        tempfile.TemporaryDirectory() as folder,
    ):
        copy = Path(folder, "copy")
        copy.mkdir()
        for name in COPIED:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        unplanted = _run(copy, sorted({defect.caught_by for defect in defects}))
        for number, defect in enumerate(defects):
            progress.done, progress.doing = number, defect.name
            file = copy / defect.file
            source = file.read_text()
            file.write_text(planted(source, defect))
            caught = unplanted == PASSED and _run(copy, [defect.caught_by]) == FAILED
            file.write_text(source)
            if not caught:
                uncaught.append(defect.name)
    print(
        f"defects: {len(defects)} planted one at a time in {time.monotonic() - began:.0f} s; the tests "
        f"{'pass' if unplanted == PASSED else 'FAIL'} without them; {len(uncaught)} not caught"
        + "".join(f", {name}" for name in uncaught),
        flush=True,
    )
    return uncaught


def planted(source: str, defect: Defect) -> str:
    """Return the source with the defect. Raises ValueError if the text to replace does not occur exactly once."""
    if source.count(defect.before) != 1:
        count = source.count(defect.before)
        raise ValueError(f"{defect.file}: expected {defect.before!r} once, got it {count} times. Update the defect")
    return source.replace(defect.before, defect.after)


def _run(copy, tests):
    # With the shared base directory, pytest would close it for other users, and PostgreSQL runs as one.
    own_folder = ["-p", "no:cacheprovider", f"--basetemp={copy.parent / 'tests'}"]
    fewer_plugins = ["-p", "no:schemathesis", "-p", "no:hypothesispytest"]  # to start sooner; no test needs them
    command = [sys.executable, "-m", "pytest", "-q", "-x", *own_folder, *fewer_plugins, *tests]
    with subprocess.Popen(
        command, cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            return process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):  # a defect may leave processes behind
                os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
