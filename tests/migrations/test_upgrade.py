"""A database of an older release, made by its own service and workers, upgraded to the newest revision."""

import json
import zlib

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from sqlalchemy import update

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.gradient_check import GradientCheck
from normlab.store import lost_attempts, queue, records
from normlab.store.database import Database
from normlab.store.histograms import SCALARS
from normlab.store.models import HistogramRow
from normlab.store.schema import SchemaStatus, migrate, schema_status
from service.app import create_app
from service.settings import ServiceSettings
from tests.experiments import claimed, do, enqueue, read
from tests.factories import histogram_of
from tests.migrations.make_revision_0005 import SPECS, processor
from tests.migrations.revisions import PROCESSOR, REVISIONS, downgrade, make, rows_of
from worker.run.experiment import run
from worker.run_control import RunControl
from worker.settings import WorkerSettings

pytestmark = pytest.mark.slow

SUCCEEDED, ORIGINAL, DIVERGED, UNREADABLE, CANCELLED, PAUSED, RUNNING, ASKED, QUEUED = range(1, 10)
RETIRED_FIELDS = {"weight_std", "memory", "network"}  # renamed, or with renamed values
ADDED_FIELDS = {"background", "skip_damaged", "test_fraction"}  # since then; a stored spec gets their defaults
RETIRED_COLUMNS = {"wish", "attempts_before", "group", "idempotency_key", "idempotency_digest"}
REWRITTEN_COLUMNS = {"spec", "gradient_check"}
REWRITTEN_MOMENTS = {"total", "total_of_squares", "bins", "finite", "mean", "squared_deviations"}  # of histograms


@pytest.fixture
def empty(unmigrated_url):
    """A database without a schema."""
    database = Database(unmigrated_url)
    yield database
    database.close()


@pytest.fixture
def old(empty):
    """A database at revision 0005, with experiments in every state."""
    make(empty, "0005")
    return empty


@pytest.fixture
def one_thread():
    """Torch on one thread, as in the trainings of the old database: the last bits depend on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def without(row, names):
    return {name: row[name] for name in row.keys() - set(names)}


def old_bins(packed):
    """The indices and counts of bins as they were packed until revision 0006."""
    raw = zlib.decompress(packed)
    bins = len(raw) // 6
    return np.cumsum(np.frombuffer(raw, "<u2", bins)), np.frombuffer(raw, "<u4", bins, offset=2 * bins)


def assert_equal(rows, expected):
    """Compare the rows of all tables. Sums that were computed from moments may differ in their last digits."""
    for name, table in expected.items():
        for row, expected_row in zip(rows[name], table, strict=True):
            for column, value in expected_row.items():
                if name == "histograms" and column in REWRITTEN_MOMENTS - {"bins"} and value is not None:
                    assert row[column] == pytest.approx(value, rel=1e-13, abs=1e-300)
                else:
                    assert row[column] == value
    assert rows.keys() == expected.keys()


class TestUpgrade:
    """The newest revision, from each older one."""

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_keeps_all_records(self, empty, revision):
        """Every row of every table is kept, and all but the renamed columns are as they were."""
        make(empty, revision)
        before = rows_of(empty)
        migrate(empty)
        after = rows_of(empty)
        assert schema_status(empty.reader) == SchemaStatus.CURRENT
        for name in before.keys() - {"experiments", "attempts", "checkpoints", "histograms"}:
            assert after[name] == before[name]
        for old_row, new_row in zip(before["histograms"], after["histograms"], strict=True):
            kept = without(old_row, REWRITTEN_MOMENTS)
            assert {name: new_row[name] for name in kept} == kept
        for name, changed in {"experiments": RETIRED_COLUMNS | REWRITTEN_COLUMNS, "attempts": {"outcome"}}.items():
            assert len(after[name]) == len(before.get(name, ()))
            for old_row, new_row in zip(before.get(name, ()), after[name], strict=True):
                kept = without(old_row, changed | {"cancel_requested"})
                assert without(new_row, new_row.keys() - kept.keys()) == kept
        for old_row, new_row in zip(before["checkpoints"], after["checkpoints"], strict=True):
            assert (new_row["content"], new_row["sha256"]) == (old_row["content"], old_row["sha256"])

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_renames_the_specs_fields(self, empty, revision):
        """A spec's renamed fields, layer kinds and values have their new names. Its other fields are unchanged."""
        make(empty, revision)
        before = rows_of(empty)["experiments"]
        migrate(empty)
        after = rows_of(empty)["experiments"]
        for old_row, new_row in zip(before, after, strict=True):
            old_spec, new_spec = old_row["spec"], new_row["spec"]
            assert new_spec.keys() == old_spec.keys() - {"weight_std"} | {"init_std"}
            kept = without(old_spec, RETIRED_FIELDS) | {"priority": new_row["priority"]}  # which 0003 set to 0
            assert without(new_spec, {"init_std", "memory", "network"}) == kept
            assert new_spec["init_std"] == old_spec["weight_std"]
            # Today's rules accept what the old rules accepted.
            validated = ExperimentSpec(**new_spec).model_dump(mode="json")
            assert validated.keys() - new_spec.keys() == ADDED_FIELDS
            assert without(validated, ADDED_FIELDS) == new_spec
        spec = after[SUCCEEDED - 1]["spec"]
        assert (spec["init_std"], spec["memory"], spec["seed"]) == (0.1, "recompute", 7)
        assert [layer["kind"] for layer in spec["network"]] == [
            "convolution", "normalization", "activation", "convolution", "add", "global_average_pool", "linear",
        ]  # fmt: skip
        assert spec["network"][4]["shortcut"] == 2
        assert after[CANCELLED - 1]["spec"]["memory"] == "standard"

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_fills_the_new_columns(self, empty, revision):
        """Name and seed are copied from the spec."""
        make(empty, revision)
        migrate(empty)
        for row in rows_of(empty)["experiments"]:
            assert (row["name"], row["seed"]) == (row["spec"]["name"], row["spec"]["seed"])
        names = [row["name"] for row in rows_of(empty)["experiments"]]
        assert (names[SUCCEEDED - 1], names[ORIGINAL - 1], names[PAUSED - 1]) == ("thresholds", None, "paused")
        assert read(empty, RUNNING).seed == 2**32 - 1

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_moves_idempotency_keys(self, empty, revision):
        """Each idempotency key and its digest are in a table of their own, as sent without an API key."""
        make(empty, revision)
        before = rows_of(empty)["experiments"]
        migrate(empty)
        assert {row["experiment_id"]: row for row in rows_of(empty)["idempotency_keys"]} == {
            row["id"]: {
                "api_key": "", "key": row["idempotency_key"], "digest": row["idempotency_digest"],
                "experiment_id": row["id"],
            }
            for row in before
        }  # fmt: skip
        assert len(before) == 9

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_never_gives_an_id_twice(self, empty, revision):
        """A new experiment does not get the id of one that was removed before the upgrade."""
        make(empty, revision)
        with empty.writer.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM experiments WHERE id = {QUEUED}")
        migrate(empty)
        assert enqueue(empty) == QUEUED + 1

    def test_renames_columns_kinds_and_outcomes(self, old):
        """The position in the queue, the requested action, the gradient check and the outcomes have their new names."""
        before = rows_of(old)
        migrate(old)
        after = rows_of(old)
        for old_row, new_row in zip(before["experiments"], after["experiments"], strict=True):
            for old_name, new_name in (
                ("wish", "requested_action"), ("attempts_before", "attempts_before_retry"), ("group", "queue_group"),
            ):  # fmt: skip
                assert new_row[new_name] == old_row[old_name]
            assert not new_row.keys() & RETIRED_COLUMNS
        assert (read(old, ASKED).status, read(old, ASKED).requested_action) == ("running", "pause")
        assert (read(old, QUEUED).queue_group, read(old, QUEUED).priority) == ("second", 5)
        assert {row["outcome"] for row in before["attempts"]} >= {"given back", "paused", None}
        assert [row["outcome"] for row in after["attempts"]] == [
            "released" if row["outcome"] == "given back" else row["outcome"] for row in before["attempts"]
        ]
        old_check = before["experiments"][SUCCEEDED - 1]["gradient_check"]
        assert "threshold" in {row["kind"] for row in old_check}
        kinds = {"threshold": "thresholded_linear", "sum": "add", "mean_pool": "global_average_pool"}
        check = GradientCheck.model_validate(read(old, SUCCEEDED).gradient_check)
        assert [(row.layer, row.kind, row.gradients.float64) for row in check.layers] == [
            (row["layer"], kinds.get(row["kind"], row["kind"]), row["error"]) for row in old_check
        ]
        assert (check.passed, check.step, check.engine, check.parameters) == (True, 0, None, [])
        assert "of an older release" in check.left_out[0]
        assert read(old, CANCELLED).gradient_check is None

    @pytest.mark.parametrize("revision", ("0001", "0005"))
    def test_repacks_histograms(self, empty, revision):
        """Each histogram has the same counts in the same bins, and the mean and deviations of its old sums."""
        make(empty, revision)
        before = rows_of(empty)["histograms"]
        migrate(empty)
        with empty.reading() as session:
            stored = {
                (number, quantity, capture.step, layer): histogram
                for number in {row["experiment_id"] for row in before}
                for capture in records.captures(session, number)
                for (layer, quantity), histogram in capture.histograms.items()
            }
        assert len(stored) == len(before) > 30
        for row in before:
            histogram = stored[row["experiment_id"], row["quantity"], row["step"], row["layer"]]
            index, counts = old_bins(row["bins"])
            assert (histogram.patterns >> 18).tolist() == index.tolist()
            assert histogram.counts.tolist() == counts.tolist()
            assert histogram.layout.top_bits == 5
            assert histogram.finite == counts.sum() + row["zeros"]
            assert (histogram.mean or 0.0) * histogram.finite == pytest.approx(row["total"], rel=1e-14)
            assert histogram.l2_norm**2 == pytest.approx(row["total_of_squares"], rel=1e-13)

    def test_repacks_more_histograms_than_a_batch(self, old):
        """Each of many histograms is repacked once."""
        columns = ", ".join(name for name in rows_of(old)["histograms"][0] if name != "step")
        with old.writer.begin() as connection:
            for copy in range(1, 31):
                connection.exec_driver_sql(
                    f"INSERT INTO histograms (step, {columns}) SELECT step + {copy * 10_000}, {columns} "
                    "FROM histograms WHERE step < 10000"
                )
        migrate(old)
        rows = rows_of(old)["histograms"]
        assert len(rows) > 1000
        first = {(row["experiment_id"], row["quantity"], row["step"], row["layer"]): row for row in rows}
        for row in rows:
            original = first[row["experiment_id"], row["quantity"], row["step"] % 10_000, row["layer"]]
            assert without(row, {"step"}) == without(original, {"step"})

    def test_cancelled_deviations_are_limited_by_the_extremes(self, old):
        """Where the old sums have no digits of the deviations left, the extremes say how large they are at least."""
        with old.writer.begin() as connection:
            values = "minimum = 1000000.0, maximum = 1000000.0625, total = 0, total_of_squares = 0, zeros = 0"
            connection.exec_driver_sql(f"UPDATE histograms SET {values} WHERE layer = 1 AND minimum IS NOT NULL")
            values = "minimum = 0.1, maximum = 0.1, zeros = 0"
            connection.exec_driver_sql(f"UPDATE histograms SET {values} WHERE layer = 2 AND minimum IS NOT NULL")
        migrate(old)
        rows = [row for row in rows_of(old)["histograms"] if row["minimum"] is not None]
        assert {1, 2} < {row["layer"] for row in rows}
        for row in rows:
            if row["layer"] == 1:
                assert row["squared_deviations"] == pytest.approx(0.0625**2 / 2)
                assert row["minimum"] <= row["mean"] <= row["maximum"]
            elif row["layer"] == 2:
                assert (row["squared_deviations"], row["mean"]) == (0, 0.1)

    def test_keeps_a_requested_cancellation(self, empty):
        """A cancellation requested before revision 0003 is still requested."""
        make(empty, "0002")
        migrate(empty)
        assert (read(empty, ASKED).requested_action, read(empty, RUNNING).requested_action) == ("cancel", None)


class TestDowngrade:
    """From the newest revision to 0005."""

    def test_and_upgrade_keep_every_row(self, old):
        """After an upgrade and a downgrade all rows of revision 0005 are as they were; so they are after an upgrade.

        Only the tokens of the experiments are new after an upgrade, because their rows were written.
        """
        before = rows_of(old)
        migrate(old)
        upgraded = rows_of(old)
        tokens = {row.pop("revision") for row in upgraded["experiments"]}
        downgrade(old, "0005")
        assert_equal(rows_of(old), before)
        migrate(old)
        again = rows_of(old)
        new_tokens = {row.pop("revision") for row in again["experiments"]}
        assert_equal(again, upgraded)
        assert len(tokens | new_tokens) == 2 * len(before["experiments"])

    def test_finer_bins_become_the_older_ones(self, old):
        """A histogram counted after the upgrade has the sums and the bins of revision 0006 after the downgrade."""
        migrate(old)
        values = np.random.default_rng(2).normal(size=3000).astype(np.float32)
        with old.writing.begin() as session:
            histogram = histogram_of(values)
            rewritten = {name: getattr(histogram, name) for name in SCALARS} | {"bins": histogram.to_bytes()}
            session.execute(update(HistogramRow).values(rewritten))
        downgrade(old, "0006")
        expected = np.unique(values.view(np.uint32) >> 18, return_counts=True)
        exact = values.astype(np.float64)
        for row in rows_of(old)["histograms"]:
            np.testing.assert_array_equal(old_bins(row["bins"]), expected)
            assert row["total"] == pytest.approx(exact.sum(), rel=1e-13)
            assert row["total_of_squares"] == pytest.approx((exact**2).sum(), rel=1e-13)


class TestService:
    """The service on an upgraded database."""

    @pytest.fixture
    def client(self, old):
        """The service, asked in the name of localhost."""
        migrate(old)
        with TestClient(create_app(ServiceSettings(database_url=old.url)), base_url="http://localhost") as client:
            yield client

    def test_answers_every_old_experiment(self, client):
        """Every experiment is answered with its spec in today's words."""
        listed = client.get("/experiments?sort=id").json()["experiments"]
        statuses = ["succeeded", "succeeded", "failed", "failed", "cancelled", "paused", "running", "running", "queued"]
        assert [experiment["status"] for experiment in listed] == statuses
        for experiment, (name, sent) in zip(listed, SPECS.items(), strict=True):
            answer = client.get(f"/experiments/{experiment['id']}").json()
            assert experiment == {name: answer[name] for name in experiment}
            assert (answer["spec"]["init_std"], answer["spec"]["seed"]) == (
                sent.get("weight_std", 0.05), sent.get("seed", 0),
            ), name  # fmt: skip
            assert answer["spec"]["memory"] in ("standard", "recompute")
            assert not {"weight_std", "mean_pool", "threshold"} & set(json.dumps(answer).split('"'))

    def test_renders_figures_of_old_records(self, client, old):
        """Figures, statistics and metrics of records of the old release are served."""
        for path in ("plots/weight_gradient.png?epoch=1", "plots/weight_gradient.gif", "plots/loss.svg", "checkpoint"):
            assert client.get(f"/experiments/{SUCCEEDED}/{path}").status_code == 200
        metrics = client.get(f"/experiments/{DIVERGED}/metrics").json()["metrics"]
        assert [row["train_loss"] for row in metrics] == [None]
        layers = client.get(f"/experiments/{SUCCEEDED}/layers").json()["layers"]
        assert len(layers) == sum(row["experiment_id"] == SUCCEEDED for row in rows_of(old)["histograms"])

    def test_knows_old_idempotency_keys(self, client):
        """A request of before the upgrade that is repeated after it does not create a second experiment."""
        answer = client.post("/experiments", json=SPECS["queued"], headers={"idempotency-key": "key of queued"})
        assert (answer.status_code, answer.json()["id"]) == (201, QUEUED)
        answer = client.post("/experiments", json={}, headers={"idempotency-key": "key of paused"})
        assert answer.status_code == 422


class TestWorker:
    """Today's worker on an upgraded database."""

    @pytest.mark.usefixtures("one_thread")
    def test_resumes_old_trainings_to_the_same_bits(self, old, tmp_path):
        """A paused training, and one whose worker was killed, end as the same specs trained without interruption."""
        migrate(old)
        twins = {
            number: enqueue(old, ExperimentSpec(**read(old, number).spec | {"gradient_check": False}))
            for number in (PAUSED, RUNNING)
        }
        stored_steps = {number: read(old, number).step for number in twins}
        do(old, queue.resume, PAUSED)
        assert do(old, lost_attempts.requeue_stalled) == 2
        assert read(old, ASKED).status == "paused"
        while (claim := claimed(old)) is not None:
            run(old, claim, WorkerSettings(database_url=old.url, data_dir=tmp_path), RunControl())
        for number, twin in twins.items():
            resumed = read(old, number)
            assert (resumed.status, resumed.error, resumed.epochs_done) == ("succeeded", None, 24)
            assert 0 < resumed.provenance["resumed_at_step"] <= stored_steps[number]
            assert read(old, twin).provenance["resumed_at_step"] is None
            with old.reading() as session:
                metrics, expected_metrics = (records.metrics(session, each) for each in (number, twin))
                checkpoint, expected = (records.checkpoint(session, each) for each in (number, twin))
            assert [row.epoch for row in metrics] == list(range(24))
            if (PROCESSOR, resumed.provenance["differs"]) == (processor(), []):
                assert checkpoint.sha256 == expected.sha256
                assert [row.train_loss for row in metrics] == [row.train_loss for row in expected_metrics]
            else:  # another processor or another torch rounds differently
                assert metrics[-1].train_loss == pytest.approx(expected_metrics[-1].train_loss, rel=0.02)
        assert read(old, QUEUED).status == "succeeded"
