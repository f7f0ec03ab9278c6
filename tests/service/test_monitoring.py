"""What the service tells of itself: metrics, workers, request ids, logs."""

import json
import os
import re
import subprocess
import sys

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from normlab.store import api_keys, workers
from normlab.store.workers import Counters
from service.app import create_app
from service.settings import ServiceSettings


def metrics(client):
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def worker(sqlite, recorded):
    """Of the name that the recorded experiment's claim has."""
    with sqlite.writing.begin() as session:
        counters = Counters(claims=3, takeovers=2, refused_writes=1, steps=500)
        workers.upsert(session, "w", device="cpu", threads=2, steps_per_second=12.5, counters=counters)


def test_the_queue_and_the_workers_are_counted(client, recorded, worker):
    client.post("/experiments", json={"dataset": "digits"})
    found = metrics(client)
    assert found["normlab_experiments", "queued"] == 1
    assert found["normlab_experiments", "running"] == 1
    assert 0 <= found["normlab_oldest_queued_seconds",] < 60
    assert found["normlab_workers",] == 1
    assert found["normlab_worker_claims_total", "w"] == 3
    assert found["normlab_worker_takeovers_total", "w"] == 2
    assert found["normlab_worker_refused_writes_total", "w"] == 1
    assert found["normlab_worker_steps_total", "w"] == 500
    assert found["normlab_steps_per_second", "w"] == 12.5
    assert found["normlab_images_per_second", "w"] == 1000
    assert found["normlab_epoch_seconds", "w"] == 1.5
    assert found["normlab_database_up",] == 1


TRANSIENT_ERRORS = "postgresql://nobody@127.0.0.1:1/nothing"


def test_while_the_database_is_away_the_metrics_say_so_and_what_the_process_knows():
    with TestClient(create_app(ServiceSettings(database_url=TRANSIENT_ERRORS)), base_url="http://localhost") as client:
        assert client.get("/experiments").status_code == 503
        found = metrics(client)
    assert found["normlab_database_up",] == 0
    assert found["normlab_request_seconds_count", "GET", "/experiments", "503"] == 1
    assert ("normlab_event_loop_lag_seconds_count",) in found
    assert ("normlab_workers",) not in found


def test_while_the_database_is_away_nobody_is_let_in_to_the_metrics_where_a_key_is_needed():
    app = create_app(ServiceSettings(database_url=TRANSIENT_ERRORS, require_key=True))
    with TestClient(app, base_url="http://localhost") as client:
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
def test_a_database_of_another_schema_is_not_up(database, change):
    with database.writing.begin() as session:
        session.execute(text(change))
    with TestClient(create_app(ServiceSettings(database_url=database.url)), base_url="http://localhost") as client:
        assert metrics(client)["normlab_database_up",] == 0


def test_requests_are_timed_by_their_route_and_figures_by_their_format(client, recorded):
    location, _ = recorded
    client.get(f"{location}/plots/weight.png")
    client.get("/no/such/thing")
    found = metrics(client)
    assert found["normlab_request_seconds_count", "POST", "/experiments", "201"] == 1
    assert found["normlab_request_seconds_count", "GET", "none", "404"] == 1
    assert found["normlab_render_seconds_count", "png"] == 1
    (plot,) = [key for key in found if key[0] == "normlab_request_seconds_count" and "{name}" in key[2]]
    assert found[plot] == 1
    assert ("normlab_event_loop_lag_seconds_count",) in found


def test_workers_are_listed_with_what_they_train(client, recorded, worker):
    (found,) = client.get("/workers").json()["workers"]
    assert (found["name"], found["device"], found["experiment"], found["attempt"]) == ("w", "cpu", 1, 1)
    assert (found["steps_per_second"], found["images_per_second"]) == (12.5, 1000)


def test_a_worker_that_left_is_not_listed(client, worker, sqlite):
    with sqlite.writing.begin() as session:
        workers.deregister(session, "w")
    assert client.get("/workers").json() == {"workers": []}


def test_every_answer_has_a_request_id_and_keeps_the_callers_own(client):
    assert re.fullmatch("[0-9a-f]{32}", client.get("/livez").headers["x-request-id"])
    assert client.get("/nothing", headers={"x-request-id": "mine-7"}).headers["x-request-id"] == "mine-7"
    for strange in ("a b", "x" * 43, 'a"b', ""):
        assert client.get("/livez", headers={"x-request-id": strange}).headers["x-request-id"] != strange


def test_logs_are_json_with_the_request_id_and_never_hold_a_key(sqlite):
    with sqlite.writing.begin() as session:
        key = api_keys.create(session, "write", "")
    secret = key.split("_", 2)[2]
    environment = os.environ | {"NORMLAB_DATABASE_URL": sqlite.url}
    command = [sys.executable, "-m", "service", "--no-worker", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        address = process.stdout.readline().split()[-1]
        with httpx.Client(base_url=address, headers={"authorization": f"Bearer {key}"}) as client:
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


def test_what_nobody_foresaw_is_a_problem_with_all_that_other_answers_have_and_is_counted(client, monkeypatch):
    def fail():
        raise KeyError("nobody foresaw this")

    with monkeypatch.context() as patched:
        patched.setattr(client.app.state.readiness, "check", fail)
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")
    assert "foresaw" not in answer.text
    assert answer.headers["x-request-id"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert metrics(client)["normlab_request_seconds_count", "GET", "/readyz", "500"] == 1
