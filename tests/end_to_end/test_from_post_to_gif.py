"""The whole path with real processes, on both databases: post, claim, train, record, read and render."""

import io
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx2
import pytest
from PIL import Image

from tests.experiments import until

pytestmark = pytest.mark.slow

SPEC = {"dataset": "digits", "normalization": "batch", "epochs": 3, "train_size": 200, "test_size": 100}


@pytest.fixture
def url(database):
    return database.url


@contextmanager
def process(url, data_dir, *arguments):
    environment = os.environ | {"NORMLAB_DATABASE_URL": url, "NORMLAB_DATA_DIR": str(data_dir)}
    child = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            code = child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        finally:
            child.stdout.close()
    assert code == 0


@contextmanager
def service(url, data_dir, *arguments):
    with process(url, data_dir, "-m", "service", "--port", "0", *arguments) as child:
        address = next(line for line in child.stdout if "serves on " in line).split("serves on ")[1].strip()
        with httpx2.Client(base_url=address, timeout=60) as client:
            yield client


def ended(client, location):
    """Wait until an experiment has ended, and return it."""

    def has_ended():
        return client.get(location).json()["status"] in ("succeeded", "failed", "cancelled")

    until(has_ended, seconds=60, every_seconds=0.1)
    return client.get(location).json()


class TestServiceAndWorker:
    def test_turn_a_posted_spec_into_an_animation(self, url, tmp_path):
        """A posted spec is trained by a separate worker, and its metrics and figures can be read."""
        with service(url, tmp_path, "--no-worker") as client, process(url, tmp_path, "-m", "worker"):
            posted = client.post("/experiments", json=SPEC)
            assert posted.status_code == 201
            location = posted.headers["location"]

            experiment = ended(client, location)

            assert (experiment["status"], experiment["error"]) == ("succeeded", None)
            assert experiment["progress"]["epochs_done"] == 3
            rows = client.get(f"{location}/metrics").json()["metrics"]
            assert [row["epoch"] for row in rows] == [0, 1, 2]
            assert rows[-1]["train_loss"] < rows[0]["train_loss"]
            gif = client.get(f"{location}/plots/weight_gradient.gif")
            assert gif.headers["content-type"] == "image/gif"
            with Image.open(io.BytesIO(gif.content)) as frames:
                assert frames.n_frames == 3
            again = client.get(f"{location}/plots/weight_gradient.gif", headers={"if-none-match": gif.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")

    def test_continue_after_a_failed_experiment(self, url, tmp_path):
        """An experiment that fails does not prevent the next one from succeeding."""
        with service(url, tmp_path, "--no-worker") as client, process(url, tmp_path, "-m", "worker"):
            missing = client.post("/experiments", json={"dataset": "folder", "folder": "nowhere"}).headers["location"]
            good = client.post("/experiments", json=SPEC | {"epochs": 1}).headers["location"]

            failed = ended(client, missing)

            assert failed["status"] == "failed"
            assert "nowhere" in failed["error"]
            assert ended(client, good)["status"] == "succeeded"


class TestServiceAlone:
    def test_starts_a_worker_and_stops_it(self, tmp_path):
        """A service migrates its SQLite database, starts a worker, and releases its experiment when it stops."""
        url = f"sqlite:///{tmp_path / 'normlab.db'}"
        with service(url, tmp_path) as client:
            location = client.post("/experiments", json=SPEC).headers["location"]
            assert ended(client, location)["status"] == "succeeded"
            endless = SPEC | {"epochs": 10_000, "engine": "eager"}  # "auto" would compile it, which takes many seconds
            long = client.post("/experiments", json=endless).headers["location"]
            until(lambda: client.get(long).json()["progress"]["epochs_done"] >= 2, every_seconds=0.1)

        with service(url, tmp_path, "--no-worker") as client:
            released = client.get(long).json()
            assert released["status"] == "queued"
            assert released["progress"]["epochs_done"] >= 2

    def test_serves_once_its_database_is_migrated(self, tmp_path, unmigrated_postgres_url):
        """Without a schema the service answers 503 and says which command to run. After it, the service works."""
        environment = os.environ | {"NORMLAB_DATABASE_URL": unmigrated_postgres_url}
        with service(unmigrated_postgres_url, tmp_path, "--no-worker") as client:
            for method, path in (("GET", "/readyz"), ("GET", "/experiments"), ("POST", "/experiments")):
                response = client.request(method, path, json=SPEC)
                assert (response.status_code, response.headers["retry-after"]) == (503, "5")
                assert "has no schema yet" in response.json()["detail"]
                assert "python -m migrations" in response.json()["detail"]
            subprocess.run([sys.executable, "-m", "migrations"], env=environment, check=True, capture_output=True)
            assert client.get("/readyz").json() == {"status": "ready"}
            assert client.post("/experiments", json=SPEC).status_code == 201
