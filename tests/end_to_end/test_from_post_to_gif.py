"""The whole path with real processes: POST → queue → claim → train → record → read → draw, on both databases."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx2
import pytest
from PIL import Image

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


def finished(client, location):
    for _ in range(600):
        experiment = client.get(location).json()
        if experiment["status"] in ("succeeded", "failed", "cancelled"):
            return experiment
        time.sleep(0.1)
    raise AssertionError(f"not finished: {experiment}")


def test_a_posted_spec_becomes_a_gif_by_a_service_and_a_worker_of_their_own(url, tmp_path):
    with service(url, tmp_path, "--no-worker") as client, process(url, tmp_path, "-m", "worker"):
        posted = client.post("/experiments", json=SPEC)
        assert posted.status_code == 201
        location = posted.headers["location"]

        experiment = finished(client, location)

        assert (experiment["status"], experiment["error"]) == ("succeeded", None)
        assert experiment["progress"]["epoch"] == 3
        rows = client.get(f"{location}/metrics").json()["metrics"]
        assert [row["epoch"] for row in rows] == [0, 1, 2]
        assert rows[-1]["train_loss"] < rows[0]["train_loss"]
        gif = client.get(f"{location}/plots/weight_gradient.gif")
        assert gif.headers["content-type"] == "image/gif"
        with Image.open(io.BytesIO(gif.content)) as frames:
            assert frames.n_frames == 3
        again = client.get(f"{location}/plots/weight_gradient.gif", headers={"if-none-match": gif.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_service_alone_keeps_a_worker_and_takes_it_along_when_it_stops(tmp_path):
    url = f"sqlite:///{tmp_path / 'normlab.db'}"  # not migrated: the service does that
    with service(url, tmp_path) as client:
        location = client.post("/experiments", json=SPEC).headers["location"]
        assert finished(client, location)["status"] == "succeeded"
        endless = SPEC | {"epochs": 10_000, "engine": "eager"}  # "auto" would compile it, which takes many seconds
        long = client.post("/experiments", json=endless).headers["location"]
        while client.get(long).json()["progress"]["epoch"] < 2:
            time.sleep(0.1)

    with service(url, tmp_path, "--no-worker") as client:
        given_back = client.get(long).json()
        assert given_back["status"] == "queued"
        assert given_back["progress"]["epoch"] >= 2


def test_a_worker_that_a_failing_experiment_met_goes_on_with_the_next(url, tmp_path):
    with service(url, tmp_path, "--no-worker") as client, process(url, tmp_path, "-m", "worker"):
        missing = client.post("/experiments", json={"dataset": "folder", "folder": "nowhere"}).headers["location"]
        good = client.post("/experiments", json=SPEC | {"epochs": 1}).headers["location"]

        failed = finished(client, missing)

        assert failed["status"] == "failed"
        assert "nowhere" in failed["error"]
        assert finished(client, good)["status"] == "succeeded"


def test_a_service_says_what_its_database_lacks_and_serves_once_the_migration_command_has_run(
    tmp_path, unmigrated_postgres_url
):
    environment = os.environ | {"NORMLAB_DATABASE_URL": unmigrated_postgres_url}
    with service(unmigrated_postgres_url, tmp_path, "--no-worker") as client:
        for method, path in (("GET", "/readyz"), ("GET", "/experiments"), ("POST", "/experiments")):
            answer = client.request(method, path, json=SPEC)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "has no schema yet" in answer.json()["detail"]
            assert "python -m migrations" in answer.json()["detail"]
        subprocess.run([sys.executable, "-m", "migrations"], env=environment, check=True, capture_output=True)
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.post("/experiments", json=SPEC).status_code == 201
