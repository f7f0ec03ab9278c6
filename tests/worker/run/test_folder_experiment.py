"""An experiment on the user's own images: one line is enough, and its answer says what it was trained on."""

from normlab.spec.lifecycle import Status, StopReason
from normlab.store import gradient_checks, queue
from normlab.store.experiments import spec_of
from normlab.store.models import Experiment
from tests.experiments import do
from tests.worker.datasets.image_folders import write_pets
from tests.worker.run.runs import StopsAtStep, enqueue, run_next
from worker.run.gradient_check import run_check
from worker.settings import WorkerSettings

FOLDER = {
    "dataset": "folder", "folder": "pets", "train_size": None, "test_size": None, "epochs": 1, "engine": "eager",
}  # fmt: skip
THREE = [f"{part}/{name}/{number}" for part in ("train", "test") for name in ("ant", "bee", "cat") for number in "123"]


class TestClasses:
    def test_decide_the_width_of_the_default_network(self, sqlite, tmp_path):
        """A folder of three classes trains with the default network, whose last layer then has three channels."""
        write_pets(tmp_path / "pets", THREE)
        enqueue(sqlite, **FOLDER)
        experiment = run_next(sqlite, tmp_path)
        assert (experiment.status, experiment.error) == ("succeeded", None)
        assert spec_of(experiment).network[-3].channels == 3
        assert [each["name"] for each in experiment.provenance["data"]["by_class"]] == ["ant", "bee", "cat"]
        assert experiment.spec["network"][-3]["channels"] == "classes"

    def test_are_counted_again_at_a_retry_from_the_start(self, sqlite, tmp_path):
        """A folder that has got another class since trains with the new number."""
        write_pets(tmp_path / "pets", [name.replace("1", "x") for name in THREE])
        (tmp_path / "pets/train/ant/x.png").write_bytes(b"not an image")
        number = enqueue(sqlite, **FOLDER)
        failed = run_next(sqlite, tmp_path)
        assert failed.status == "failed"
        assert "pets/train/ant/x.png cannot be read as an image" in failed.error
        assert str(tmp_path) not in failed.error
        write_pets(tmp_path / "pets", [*(name.replace("1", "x") for name in THREE), "train/dog/1", "test/dog/1"])
        do(sqlite, queue.retry, number, from_start=True)
        assert spec_of(run_next(sqlite, tmp_path)).network[-3].channels == 4

    def test_that_do_not_fit_the_network_say_so(self, sqlite, tmp_path):
        """A network of another number of logits fails with both numbers and the word to write."""
        write_pets(tmp_path / "pets", THREE)
        network = [{"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}]
        enqueue(sqlite, **FOLDER, network=network)
        error = run_next(sqlite, tmp_path).error
        assert error == (
            "the network ends in 10 logits, the data set has 3 classes; let the last layer output `classes`"
        )


class TestChangedImages:
    def test_refuse_to_resume(self, sqlite, tmp_path):
        """A training does not resume on other images than it began with: it fails and says how to start again."""
        folder = write_pets(tmp_path / "pets", THREE)
        enqueue(sqlite, **FOLDER | {"epochs": 2, "batch_size": 3})
        run_next(sqlite, tmp_path, StopsAtStep(2, StopReason.RELEASE))
        write_pets(folder, ["train/ant/1", "train/bee/1"], size=24)
        experiment = run_next(sqlite, tmp_path)
        assert (experiment.status, experiment.epochs_done) == ("failed", 0)
        assert "not those that the training began with" in experiment.error
        assert "retry with from_start=true" in experiment.error

    def test_of_an_older_release_refuse_to_resume(self, sqlite, tmp_path):
        """Without a hash of the data, another number of images is noticed by the epochs that the steps make."""
        folder = write_pets(tmp_path / "pets", THREE)
        number = enqueue(sqlite, **FOLDER | {"batch_size": 3})
        assert run_next(sqlite, tmp_path).status == "succeeded"
        write_pets(folder, [f"train/{name}/{extra}" for name in ("ant", "bee", "cat") for extra in "456789"])
        with sqlite.writing.begin() as session:
            experiment = session.get_one(Experiment, number)
            began_with = {name: it for name, it in experiment.provenance["began_with"].items() if name != "data_sha256"}
            experiment.provenance = experiment.provenance | {"began_with": began_with}
            experiment.spec = experiment.spec | {"epochs": 2}
            experiment.status = Status.FAILED
        do(sqlite, queue.retry, number)
        experiment = run_next(sqlite, tmp_path)
        assert experiment.status == "failed"
        assert "the training began with another number of images" in experiment.error

    def test_refuse_a_gradient_check(self, sqlite, tmp_path):
        """A gradient check at the checkpoint has no result on other images than the training had."""
        folder = write_pets(tmp_path / "pets", THREE)
        number = enqueue(sqlite, **FOLDER)
        assert run_next(sqlite, tmp_path).status == "succeeded"
        write_pets(folder, ["train/ant/1", "train/bee/1"], size=24)
        do(sqlite, gradient_checks.request, number)
        claim = do(sqlite, gradient_checks.claim, worker="w", lease_seconds=30, max_attempts=5)
        run_check(sqlite, claim, WorkerSettings(database_url=sqlite.url, data_dir=tmp_path))
        with sqlite.reading() as session:
            check = gradient_checks.latest(session, number)
        assert check.result is None
        assert "not those that the training began with" in check.error
