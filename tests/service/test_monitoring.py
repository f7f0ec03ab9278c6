"""What the service reports about itself: metrics, workers, request ids, logs."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager

import httpx2
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from normlab.spec.service_responses import WorkersResponse
from normlab.store import workers
from normlab.store.workers import Counters
from service.app import create_app
from service.settings import ServiceSettings
from tests.experiments import do

UNREACHABLE = "postgresql://nobody@127.0.0.1:1/nothing"


def metrics(client):
    """The metrics, by name and labels."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


@contextmanager
def local_client(url, **settings):
    with TestClient(create_app(ServiceSettings(database_url=url, **settings)), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def worker(sqlite, recorded):
    """A worker with the name in the recorded experiment's claim."""
    counters = Counters(claims=3, takeovers=2, refused_writes=1, steps=500)
    do(sqlite, workers.upsert, "w", device="cpu", threads=2, steps_per_second=12.5, counters=counters)


class TestMetrics:
    def test_queue_and_workers(self, client, recorded, worker):
        """The queue and the workers are counted."""
        client.post("/experiments", json={"dataset": "digits"})
        sample = metrics(client)
        assert sample["normlab_experiments", "queued"] == 1
        assert sample["normlab_experiments", "running"] == 1
        assert 0 <= sample["normlab_oldest_queued_seconds",] < 60
        assert sample["normlab_workers",] == 1
        assert sample["normlab_worker_claims_total", "w"] == 3
        assert sample["normlab_worker_takeovers_total", "w"] == 2
        assert sample["normlab_worker_refused_writes_total", "w"] == 1
        assert sample["normlab_worker_steps_total", "w"] == 500
        assert sample["normlab_steps_per_second", "w"] == 12.5
        assert sample["normlab_images_per_second", "w"] == 1000
        assert sample["normlab_epoch_seconds", "w"] == 1.5
        assert sample["normlab_database_up",] == 1

    def test_requests_and_figures(self, client, recorded):
        """Requests are timed by route and status, and figures by format."""
        location, _ = recorded
        client.get(f"{location}/plots/weight.png")
        client.get("/no/such/thing")
        sample = metrics(client)
        assert sample["normlab_request_seconds_count", "POST", "/experiments", "201"] == 1
        assert sample["normlab_request_seconds_count", "GET", "none", "404"] == 1
        assert sample["normlab_render_seconds_count", "png"] == 1
        (plot,) = [key for key in sample if key[0] == "normlab_request_seconds_count" and "{name}" in key[2]]
        assert sample[plot] == 1
        assert ("normlab_event_loop_lag_seconds_count",) in sample


class TestMetricsWithoutDatabase:
    def test_process_metrics_remain(self):
        """While the database is unreachable, the metrics say so and still have those of the process."""
        with local_client(UNREACHABLE) as client:
            assert client.get("/experiments").status_code == 503
            sample = metrics(client)
        assert sample["normlab_database_up",] == 0
        assert sample["normlab_request_seconds_count", "GET", "/experiments", "503"] == 1
        assert ("normlab_event_loop_lag_seconds_count",) in sample
        assert ("normlab_workers",) not in sample

    def test_key_is_still_needed(self):
        """While the database is unreachable, nobody can read the metrics where an API key is needed."""
        with local_client(UNREACHABLE, require_key=True) as client:
            assert client.get("/metrics").status_code == 401
            assert client.get("/metrics", headers={"authorization": "Bearer normlab_1_x"}).status_code == 503

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE alembic_version SET version_num = '0001'",
            "UPDATE alembic_version SET version_num = '9999'",
            "DELETE FROM alembic_version",
            "DROP TABLE workers",
        ],
    )
    def test_other_schema_is_not_up(self, database, change):
        """A database of another schema is not up."""
        with database.writing.begin() as session:
            session.execute(text(change))
        with local_client(database.url) as client:
            assert metrics(client)["normlab_database_up",] == 0


class TestWorkers:
    def test_list(self, client, recorded, worker):
        """The active workers are listed with the experiments that they train."""
        response = client.get("/workers")
        (row,) = response.json()["workers"]
        assert (row["name"], row["device"], row["experiment"], row["attempt"]) == ("w", "cpu", 1, 1)
        assert (row["steps_per_second"], row["images_per_second"]) == (12.5, 1000)
        assert WorkersResponse.model_validate_json(response.content, strict=True).workers[0].threads == 2

    def test_stopped_worker(self, client, worker, sqlite):
        """A worker that has stopped is not listed."""
        do(sqlite, workers.deregister, "w")
        assert client.get("/workers").json() == {"workers": []}


@pytest.mark.slow
class TestRequestLog:
    def test_request_id(self, client):
        """Every response has a request id: the caller's own, if it is a valid one."""
        assert re.fullmatch("[0-9a-f]{32}", client.get("/livez").headers["x-request-id"])
        assert client.get("/nothing", headers={"x-request-id": "mine-7"}).headers["x-request-id"] == "mine-7"
        for invalid in ("a b", "x" * 43, 'a"b', ""):
            assert client.get("/livez", headers={"x-request-id": invalid}).headers["x-request-id"] != invalid

    def test_log_is_json_without_keys(self, sqlite, api_key):
        """The log is JSON with request ids, and an API key is not in it, wherever a request holds one."""
        key = api_key("write")
        secret = key.split("_", 2)[2]
        environment = os.environ | {"NORMLAB_DATABASE_URL": sqlite.url}
        command = [sys.executable, "-m", "service", "--no-worker", "--port", "0"]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            address = process.stdout.readline().split()[-1]
            with httpx2.Client(base_url=address, headers={"authorization": f"Bearer {key}"}) as client:
                client.post("/experiments", json={"dataset": "digits"}, headers={"x-request-id": "first"})
                client.post(f"/experiments/{key}", json={}, headers={"x-request-id": key})
                client.post("/experiments/1/pause", headers={"x-request-id": secret})
                client.post("/x/" + key.replace("_", "%255f"), json={})
                client.post("/x/" + key.replace("_", "_%0a"), json={})
                client.post("/experiments/1/cancel", headers={"x-request-id": "second"})
                client.post("/experiments", json={"name": key, "epochs": 0})
                client.post("/experiments", json={}, headers={"idempotency-key": key})
            process.terminate()
            lines = process.stderr.read().splitlines()
        assert secret not in "\n".join(lines)
        logged = [json.loads(line) for line in lines]
        (first,) = [line for line in logged if line.get("request_id") == "first"]
        assert first["event"] == "POST /experiments: 201"
        assert first["milliseconds"] > 0
        (second,) = [line for line in logged if line.get("request_id") == "second"]
        assert (second["event"], second["experiment"]) == ("POST /experiments/{experiment_id}/cancel: 200", 1)


class TestUnhandledErrors:
    def test_problem_with_every_header(self, client):
        """An unexpected error is a problem without its details, with the headers of all responses, and is counted."""

        class Broken:
            def check(self):
                raise KeyError("nobody foresaw this")

        client.app.state.readiness, working = Broken(), client.app.state.readiness
        response = client.get("/readyz")
        client.app.state.readiness = working
        assert (response.status_code, response.json()["title"]) == (500, "Internal Server Error")
        assert "foresaw" not in response.text
        assert response.headers["x-request-id"]
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert metrics(client)["normlab_request_seconds_count", "GET", "/readyz", "500"] == 1
