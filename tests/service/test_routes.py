"""The routes, asked as a client asks them."""

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.quantities import QUANTITIES
from normlab.spec.size_estimate import estimate
from normlab.store import claims, records
from normlab.store.database import Database
from normlab.store.models import Experiment
from service.app import create_app
from service.routes.experiments import EXAMPLES
from service.settings import ServiceSettings
from tests.factories import record_of


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    return answer.json()


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_every_example_of_the_documentation_runs_as_it_stands(client, example):
    answer = client.post("/experiments", json=example["value"])
    assert answer.status_code == 201
    experiment = client.get(answer.headers["location"]).json()
    assert experiment == answer.json()
    assert experiment["status"] == "queued"
    for field, value in example["value"].items():
        if field != "network":
            assert experiment["spec"][field] == value


def test_a_spec_accepted_by_an_older_release_is_shown_though_this_one_would_refuse_it(client, recorded, sqlite):
    location, held = recorded
    with sqlite.writing.begin() as session:
        experiment = session.get(Experiment, held.experiment_id)
        experiment.spec = experiment.spec | {"name": "\uffff", "tags": ["x"] * 40, "norm_eps": 2.0, "forgotten": 1}
    problem(client.post("/experiments", json={"name": "\uffff"}), 422)
    shown = client.get(location).json()["spec"]
    assert (shown["name"], shown["tags"], shown["norm_eps"]) == ("\uffff", ["x"] * 40, 2.0)
    for address in ("/experiments", f"{location}/plots", f"{location}/plots/summary.png", f"{location}/plots/loss.svg"):
        assert client.get(address).status_code == 200


def test_the_documentation_lists_the_examples_and_every_spec_field_has_a_description(client):
    openapi = client.get("/openapi.json").json()
    body = openapi["paths"]["/experiments"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"].keys() == EXAMPLES.keys()
    assert all(
        "description" in field for field in openapi["components"]["schemas"]["ExperimentSpec"]["properties"].values()
    )


BAD = {
    "an unknown field": ({"epoch": 3}, "epoch", "3"),
    "a value out of range": ({"epochs": 0}, "epochs", "0"),
    "a network that does not fit": (
        {"network": [{"kind": "convolution", "channels": 7}, {"kind": "global_average_pool"}]}, "network", "7",
    ),
    "a layer of no kind": ({"network": [{"kind": "attention"}]}, "network.0", "attention"),
    "an unknown data set": ({"dataset": "imagenet"}, "dataset", "imagenet"),
    "a list": ([1], "body", "[1]"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "field", "got"), BAD.values(), ids=BAD)
def test_a_bad_spec_is_refused_by_field_expectation_and_value_and_nothing_is_queued(client, body, field, got):
    told = problem(client.post("/experiments", json=body), 422)
    assert {error["field"].split(".")[0] for error in told["errors"]} == {field.split(".")[0]}
    assert told["errors"][0]["field"] == field
    assert told["errors"][0]["expected"]
    assert got in told["errors"][0]["got"]
    assert client.get("/experiments").json()["experiments"] == []


NOT_JSON = {
    "cut short": (b'{"epochs": 3', "expected JSON; got Expecting ',' delimiter at character 12"),
    "nothing": (b"", "body: a value; got None"),
    "bytes": (b"\xff", "expected JSON in UTF-8; got other bytes at 0"),
    "bytes that begin as UTF-16 does": (b"\xff\xfe", "expected JSON in UTF-8; got what looks like UTF-16"),
    "not a number": (b'{"learning_rate": NaN}', "learning_rate: Input should be a finite number"),
    "endless depth": (b"[" * 5000, "at most 32 lists and objects deep"),
    "depth in a string is none": (b'{"name": "' + b"[" * 99 + b'", "epochs": 0}', "epochs: "),
    "an endless number": (b'{"seed": 1' + b"0" * 5000 + b"}", "numbers of at most 40 characters"),
}


@pytest.mark.parametrize(("content", "said"), NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_a_problem_that_says_where(client, content, said):
    answer = client.post("/experiments", content=content, headers={"content-type": "application/json"})
    assert said in problem(answer, 422)["detail"]


def test_json_that_does_not_say_it_is_json_is_told_the_header(client):
    answer = client.post("/experiments", content=b"{}", headers={"content-type": "text/plain"})
    assert "content-type: application/json; got text/plain" in problem(answer, 415)["detail"]


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({"normalization": "none"}, False),
        ({"normalization": "batch"}, True),
        ({"normalization": "weight_standardization"}, False),
        (
            {
                "normalization": "batch",
                "network": [{"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}],
            },
            False,
        ),
        (
            {
                "normalization": "none",
                "network": [
                    {"kind": "convolution", "channels": 10},
                    {"kind": "normalization", "variant": "layer"},
                    {"kind": "global_average_pool"},
                ],
            },
            True,
        ),
    ],
)
def test_a_normalizations_figures_are_there_if_the_network_has_one(client, fields, there):
    location = client.post("/experiments", json={"dataset": "digits"} | fields).headers["location"]
    names = [plot["name"] for plot in client.get(f"{location}/plots").json()["plots"]]
    assert ("norm_output_gradient" in names) == there


LARGE = {
    "bytes of a checkpoint": [{"kind": "convolution", "channels": 4096, "kernel_size": 31}] * 3,
    "bytes of activations": [{"kind": "convolution", "channels": 4096}],
}


@pytest.mark.parametrize(("what", "layers"), LARGE.items(), ids=LARGE)
def test_an_experiment_too_large_to_train_is_refused_with_the_estimate(client, what, layers):
    network = [*layers, {"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}]
    told = problem(client.post("/experiments", json={"network": network, "batch_size": 1000}), 422)
    assert what in told["detail"]
    assert "got some " in told["detail"]
    assert client.get("/experiments").json()["experiments"] == []


def test_a_checkpoint_of_over_256_megabytes_is_refused_and_what_the_optimizer_keeps_counts(client):
    network = [{"kind": "linear", "features": 7_000}, {"kind": "linear", "features": 10}]  # 21.6 million parameters
    spec = {"dataset": "digits", "network": network}
    assert (
        "expected at most 256,000,000; got some 258," in problem(client.post("/experiments", json=spec), 422)["detail"]
    )
    assert client.post("/experiments", json=spec | {"optimizer": "sgd"}).status_code == 201


def test_the_studys_network_is_estimated_from_its_shapes():
    size = estimate(ExperimentSpec(normalization="batch"))
    maps = 16 * (48**2 + 24**2 + 12**2 + 6**2 + 6**2) * 3 + 2 * 10 * 36 + 10
    assert size.checkpoint_bytes == 3 * 4 * 11_088
    assert size.activation_bytes == 4 * 500 * 2 * 16 * 48**2  # of a test batch
    wide = estimate(ExperimentSpec(normalization="batch", batch_size=500))
    assert wide.activation_bytes == 4 * 500 * (3 * 96**2 + maps)


def test_numbers_too_long_to_be_numbers_and_tags_that_can_be_none_are_refused(client):
    problem(client.get("/plots/test-accuracy.png?experiments=" + "9" * 5000), 422)
    problem(client.get("/experiments?tag=%00"), 422)


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_again():
    settings = ServiceSettings(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    app = create_app(settings)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        for answer in (client.get("/experiments"), client.post("/experiments", json={}), client.get("/experiments/1")):
            problem(answer, 503)
            assert answer.headers["retry-after"] == "5"


def test_a_body_of_over_a_million_bytes_is_refused(client):
    problem(client.post("/experiments", json={"name": "x" * 1_000_001}), 413)


@pytest.mark.parametrize(
    "address", ["/experiments/999", "/experiments/0", "/experiments/x", "/experiments/9" + "9" * 30]
)
@pytest.mark.parametrize(
    "below", ["", "/metrics", "/layers", "/histograms?quantity=weight", "/plots", "/plots/loss.png"]
)
def test_an_unknown_experiment_is_a_404_problem(client, address, below):
    problem(client.get(address + below), 404)


def test_an_idempotency_key_gives_the_same_answer_to_the_same_body_and_422_to_another(client):
    key = {"idempotency-key": "once"}
    first = client.post("/experiments", json={"epochs": 3}, headers=key)
    again = client.post("/experiments", json={"epochs": 3}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert "another body" in problem(client.post("/experiments", json={"epochs": 4}, headers=key), 422)["detail"]
    assert len(client.get("/experiments").json()["experiments"]) == 1


def test_the_list_is_filtered_paged_and_cut_to_the_fields_asked_for(client):
    for place in range(5):
        client.post("/experiments", json={"dataset": "digits", "tags": ["even"] if place % 2 == 0 else []})
    client.post("/experiments", json={"normalization": "layer"})
    page = client.get("/experiments?dataset=digits&tag=even&limit=2&fields=id,status").json()
    assert page["experiments"] == [{"id": 5, "status": "queued"}, {"id": 3, "status": "queued"}]
    page = client.get(page["next"]).json()
    assert (page["experiments"], page["next"]) == ([{"id": 1, "status": "queued"}], None)
    assert [e["id"] for e in client.get("/experiments?normalization=layer").json()["experiments"]] == [6]
    assert [e["id"] for e in client.get("/experiments?sort=id").json()["experiments"]] == [1, 2, 3, 4, 5, 6]
    assert "'nothing' is none of" in problem(client.get("/experiments?fields=nothing"), 422)["detail"]
    problem(client.get("/experiments?cursor=*"), 422)


def test_cancel_retry_and_delete_do_what_they_say_or_say_why_not(client, recorded):
    location, _ = recorded
    assert "is running" in problem(client.delete(location), 409)["detail"]
    assert "only a failed or cancelled" in problem(client.post(f"{location}/retry"), 409)["detail"]
    other = client.post("/experiments", json={}).headers["location"]
    assert client.post(f"{other}/cancel").json()["status"] == "cancelled"
    problem(client.post(f"{other}/cancel"), 409)
    assert client.post(f"{other}/retry").json()["status"] == "queued"
    assert client.delete(other).status_code == 204
    problem(client.get(other), 404)


def test_metrics_layers_and_histograms_are_json_or_csv(client, recorded):
    location, _ = recorded
    metrics = client.get(f"{location}/metrics").json()["metrics"]
    assert [row["epoch"] for row in metrics] == [0, 1]
    rows = list(csv.DictReader(io.StringIO(client.get(f"{location}/metrics?format=csv").text)))
    assert [float(row["test_accuracy"]) for row in rows] == [row["test_accuracy"] for row in metrics]
    (row,) = client.get(f"{location}/layers?quantity=update&layer=3&epoch=1").json()["layers"]
    assert (row["count"], row["layer"], row["quantity"]) == (500, 3, "update")
    assert row["l2_norm"] > 0
    (linear,) = client.get(f"{location}/histograms?quantity=update&layer=3&epoch=1").json()["histograms"]
    assert len(linear["bins"]) == 50
    assert sum(count for _, _, count in linear["bins"]) == pytest.approx(500)
    (native,) = client.get(f"{location}/histograms?quantity=update&layer=3&epoch=1&binning=native").json()["histograms"]
    assert sum(count for _, _, count in native["bins"]) + native["zeros"] == 500
    table = client.get(f"{location}/histograms?quantity=update&layer=3&epoch=1", headers={"accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert len(table.text.splitlines()) == 51
    assert (
        "'nothing' is none of weight_gradient"
        in problem(client.get(f"{location}/layers?quantity=nothing"), 422)["detail"]
    )


@pytest.mark.parametrize(
    ("what", "last"), [("metrics", "images_per_second"), ("layers", "l2_norm"), ("histograms?quantity=update", "count")]
)
def test_what_is_not_recorded_yet_is_csv_with_the_header_it_will_have(client, recorded, what, last):
    location, _ = recorded
    new = client.post("/experiments", json={"dataset": "digits"}).headers["location"]
    (header,) = client.get(f"{new}/{what}", headers={"accept": "text/csv"}).text.splitlines()
    assert header == client.get(f"{location}/{what}", headers={"accept": "text/csv"}).text.splitlines()[0]
    assert header.split(",")[-1] == last


def test_every_figure_of_the_index_can_be_fetched(client, recorded):
    location, _ = recorded
    plots = client.get(f"{location}/plots").json()["plots"]
    assert len(plots) == 10
    for plot in plots:
        for media_type, url in plot["urls"].items():
            answer = client.get(url)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == media_type
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_figure_is_not_drawn_again_for_who_has_it_until_an_epoch_is_added(client, recorded, sqlite):
    location, held = recorded
    url = f"{location}/plots/weight.png"
    first = client.get(url)
    weak = {"if-none-match": "W/" + first.headers["etag"]}  # as a proxy that recodes it names it
    assert client.get(first.request.url.path, headers=weak).status_code == 304
    etag = {"if-none-match": first.headers["etag"]}
    assert (client.get(url, headers=etag).status_code, first.headers["cache-control"]) == (304, "private, no-cache")
    assert client.get(url + "?scale=symlog", headers=etag).status_code == 200
    with sqlite.writing.begin() as session:
        claims.require_claim(session, held, epochs_done=3)
    assert client.get(url, headers=etag).status_code == 200
    with sqlite.writing.begin() as session:
        claims.succeed(session, held)
    assert "immutable" in client.get(url).headers["cache-control"]


def test_a_figure_before_the_first_epoch_is_a_409_that_says_so(client):
    location = client.post("/experiments", json={}).headers["location"]
    for name in ("weight_gradient.gif", "summary.png", "loss.png"):
        assert "before its first epoch" in problem(client.get(f"{location}/plots/{name}"), 409)["detail"]
    assert "nothing to draw" in problem(client.get("/plots/train-accuracy.png?experiments=1"), 409)["detail"]


def test_a_figure_that_there_is_not_is_a_404_that_says_what_there_is(client, recorded):
    location, _ = recorded
    assert "it has summary, weight_gradient" in problem(client.get(f"{location}/plots/bias.png"), 404)["detail"]
    assert "they were at 0, 1" in problem(client.get(f"{location}/plots/weight.png?epoch=7"), 404)["detail"]
    assert "is a still" in problem(client.get(f"{location}/plots/loss.gif"), 404)["detail"]
    none = client.post("/experiments", json={}).headers["location"]
    problem(client.get(f"{none}/plots/norm_input_gradient.png"), 404)


def test_several_experiments_share_a_figure_and_an_unknown_one_is_named(client, recorded):
    answer = client.get("/plots/test-accuracy.png?experiments=1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert "no experiment 99" in problem(client.get("/plots/train-accuracy.png?experiments=1,99"), 404)["detail"]
    problem(client.get("/plots/train-accuracy.png?experiments=a"), 422)
    problem(client.get("/plots/train-accuracy.png"), 422)


def test_unknown_routes_and_methods_are_problems_too(client):
    problem(client.get("/nowhere"), 404)
    problem(client.put("/experiments"), 405)
    for path, methods in {
        "/experiments": "GET, POST", "/experiments/1": "DELETE, GET, PATCH", "/experiments/1/plots/a.png": "GET",
        "/livez": "GET, HEAD",
    }.items():  # fmt: skip
        assert client.put(path).headers["allow"] == methods


def test_the_service_is_alive_and_ready_on_a_migrated_database(client):
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_priority_pause_resume_and_attempts_do_what_they_say_or_say_why_not(client, recorded, sqlite):
    running, held = recorded
    waiting = client.post("/experiments", json={"dataset": "digits", "group": "a/1", "priority": 2}).headers["location"]
    assert client.patch(waiting, json={"priority": -3}).json()["priority"] == -3
    assert "running" in problem(client.patch(running, json={"priority": 1}), 409)["detail"]
    assert problem(client.patch(waiting, json={"priority": "1"}), 422)["errors"][0]["field"] == "priority"
    assert client.post(f"{waiting}/pause").json()["status"] == "paused"
    assert [row["id"] for row in client.get("/experiments?status=paused").json()["experiments"]] == [2]
    assert client.post(f"{waiting}/resume").json()["status"] == "queued"
    assert client.post("/groups/a/1/pause").json() == {"experiments": [2]}
    assert client.get("/experiments?group=a/1").json()["experiments"][0]["status"] == "paused"
    assert client.post("/groups/a/1/resume").json() == {"experiments": [2]}
    assert "no group 'b'" in problem(client.post("/groups/b/pause"), 404)["detail"]
    assert client.post(f"{running}/pause").json()["requested_action"] == "pause"
    with sqlite.writing.begin() as session:
        claims.release(session, held)
    stored = client.get(f"{running}/checkpoint").json()
    assert (stored["step"], len(stored["sha256"])) == (2, 64)
    problem(client.get(f"{waiting}/checkpoint"), 409)
    (attempt,) = client.get(f"{running}/attempts").json()["attempts"]
    assert (attempt["attempt"], attempt["worker"], attempt["outcome"]) == (1, "w", "paused")
    problem(client.get("/experiments/99/attempts"), 404)


def test_deleting_a_running_experiment_needs_force(client, recorded):
    location, _ = recorded
    assert "delete it with force=true" in problem(client.delete(location), 409)["detail"]
    assert client.delete(f"{location}?force=true").status_code == 204
    problem(client.get(location), 404)


def test_a_retry_from_the_start_begins_with_nothing(client, recorded, sqlite):
    location, held = recorded
    with sqlite.writing.begin() as session:
        claims.fail(session, held, "it broke")
    assert client.post(f"{location}/retry?from_start=true").json()["progress"]["epoch"] == 0
    assert client.get(f"{location}/metrics").json() == {"metrics": []}


def test_what_is_wrong_with_a_default_or_one_of_two_types_is_said_in_the_words_of_json(client):
    spec = {"dataset": "digits", "normalization": "group", "group_count": 5}
    assert "got [{'input'" in problem(client.post("/experiments", json=spec), 422)["detail"]
    network = [{"kind": "convolution", "channels": 10, "padding": 65}, {"kind": "global_average_pool"}]
    (error,) = problem(client.post("/experiments", json={"network": network}), 422)["errors"]
    assert error["expected"] == "Input should be less than or equal to 64"
    network[0]["padding"] = "valid"
    (error,) = problem(client.post("/experiments", json={"network": network}), 422)["errors"]
    assert error["expected"] == "Input should be 'same'"
    assert "a list" in problem(client.post("/experiments", json={"tags": "a"}), 422)["detail"]


def test_a_body_of_very_many_items_is_refused_briefly(client):
    for body in ({"capture_quantities": [0] * 300_000}, {"tags": [1] * 20_000}, {"network": [{}] * 20_000}):
        answer = client.post("/experiments", json=body)
        assert "at most 10,000 items" in problem(answer, 422)["detail"]
    answer = client.post("/experiments", json={"tags": [1] * 5_000, "x" * 900_000: 1})
    assert len(problem(answer, 422)["errors"]) == 20
    assert len(answer.content) < 20_000
    assert client.post("/experiments", json={"capture_quantities": ["weight"] * 99}).status_code == 422


def test_more_histograms_than_an_answer_should_hold_are_refused_with_what_to_name(client, recorded, monkeypatch):
    location, _ = recorded
    monkeypatch.setattr("service.routes.records.MAX_BINS", 6 * 50)
    monkeypatch.setattr("service.routes.records.MAX_ROWS", 6)
    for path in ("histograms?quantity=weight", "layers?quantity=weight"):
        assert "name a layer, an epoch" in problem(client.get(f"{location}/{path}"), 422)["detail"]
        assert client.get(f"{location}/{path}&epoch=1").status_code == 200


def test_a_figure_is_drawn_anew_when_an_epoch_that_is_not_over_has_captured_more(client, recorded, sqlite):
    location, held = recorded
    etag = client.get(f"{location}/plots/weight.png").headers["etag"]
    assert client.get(f"{location}/plots/weight.png", headers={"if-none-match": etag}).status_code == 304
    with sqlite.writing.begin() as session:
        records.record(session, held, replace(record_of(2, quantities=QUANTITIES), metrics=None))
    assert client.get(f"{location}/plots/weight.png", headers={"if-none-match": etag}).status_code == 200


def test_a_long_training_is_shown_by_as_many_captures_as_a_gif_has_frames(client, recorded, monkeypatch):
    location, _ = recorded
    monkeypatch.setattr("service.routes.plots.MAX_FRAMES", 1)
    asked = []
    monkeypatch.setattr(records, "captures", lambda *_, steps, **__: asked.append(steps) or [])
    client.get(f"{location}/plots/weight.png")
    client.get(f"{location}/plots/weight.png?epoch=0")
    assert asked == [[1, 2], [1]]


def test_a_training_of_more_steps_than_can_be_counted_is_refused(client):
    spec = {"dataset": "fashion_mnist", "batch_size": 1, "epochs": 100_000, "image_size": 32}
    assert "training steps" in problem(client.post("/experiments", json=spec), 422)["detail"]


def test_who_asks_whether_it_lives_waits_for_no_database(client, sqlite):
    app = create_app(client.app.state.settings, database=Database(sqlite.url, timeout_seconds=2))
    with TestClient(app, raise_server_exceptions=False) as fresh:
        fresh.post("/experiments", json={"dataset": "digits"})
        with sqlite.writing.begin() as session, ThreadPoolExecutor(40) as threads:
            session.execute(text("SELECT 1"))  # which takes the file's only place to write
            stuck = [threads.submit(fresh.post, "/experiments/1/pause") for _ in range(40)]
            time.sleep(0.5)
            began = time.monotonic()
            assert fresh.get("/livez").status_code == 200
            assert fresh.get("/experiments").status_code == 200
            assert time.monotonic() - began < 1.5
            session.rollback()
            assert {one.result().status_code for one in stuck} <= {200, 503}
