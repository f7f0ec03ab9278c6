"""Reading experiments: the list with its filters and pages, and one of them."""

import json
import statistics
import time
from typing import get_args

import pytest

from normlab.spec.lifecycle import Phase
from normlab.spec.responses import ExperimentPage, ExperimentResponse, ExperimentSummary
from normlab.store import claims
from normlab.store.live_progress import LiveProgress
from normlab.store.models import Experiment
from service.routes.listing import Sort
from tests.experiments import do
from tests.service.clients import problem


def ids(page):
    return [experiment["id"] for experiment in page["experiments"]]


class TestList:
    def test_filters_pages_and_fields(self, client):
        """A list is filtered by data set, tag and variant, sorted, cut into pages, and reduced to the named fields."""
        for index in range(5):
            client.post("/experiments", json={"dataset": "digits", "tags": ["even"] if index % 2 == 0 else []})
        client.post("/experiments", json={"normalization": "layer"})
        page = client.get("/experiments?dataset=digits&tag=even&limit=2&fields=id,status").json()
        assert page["experiments"] == [{"id": 5, "status": "queued"}, {"id": 3, "status": "queued"}]
        page = client.get(page["next"]).json()
        assert (page["experiments"], page["next"]) == ([{"id": 1, "status": "queued"}], None)
        assert ids(client.get("/experiments?normalization=layer").json()) == [6]
        assert ids(client.get("/experiments?sort=id").json()) == [1, 2, 3, 4, 5, 6]
        problem(client.get("/experiments?cursor=*"), 422)

    def test_cursor_is_the_last_id(self, client):
        """The cursor of the next page is the number of the last experiment, in either order."""
        for _ in range(3):
            client.post("/experiments", json={"dataset": "digits"})
        assert client.get("/experiments?limit=2").json()["next"].endswith("cursor=2")
        assert ids(client.get("/experiments?cursor=2").json()) == [1]
        assert ids(client.get("/experiments?cursor=2&sort=id").json()) == [3]

    @pytest.mark.parametrize("cursor", ["0", "-1", "2147483648", "9" * 5000, "MQ", ""])
    def test_invalid_cursor(self, client, cursor):
        """A cursor that is no number of an experiment is refused."""
        problem(client.get(f"/experiments?cursor={cursor}"), 422)

    def test_invalid_tag(self, client):
        """A tag that no experiment can have is refused."""
        problem(client.get("/experiments?tag=%00"), 422)

    def test_page_fits_its_model(self, client, recorded):
        """A client can read a page with the model of the response."""
        client.post("/experiments", json={"dataset": "digits"})
        content = client.get("/experiments").content
        page = ExperimentPage.model_validate_json(content, strict=True, extra="forbid")
        assert [experiment.id for experiment in page.experiments] == [2, 1]
        assert page.model_dump(mode="json") == json.loads(content)

    def test_row_is_part_of_the_experiment(self, client, recorded):
        """A row of the list has the same values as the experiment's own response, and less than 600 bytes."""
        location, _ = recorded
        client.patch(location, json={"name": "Ü", "tags": ["b", "a", "b"]})
        (row,) = client.get("/experiments").json()["experiments"]
        experiment = client.get(location).json()
        assert row == {name: experiment[name] for name in row}
        assert set(row) == set(ExperimentSummary.model_fields)
        assert (row["name"], row["tags"], row["progress"]["epochs_done"]) == ("Ü", ["a", "b"], 2)
        assert len(json.dumps(row)) < 600


class TestFilters:
    @pytest.fixture
    def five(self, client):
        """Five experiments of different names, tags, seeds, groups and learning rates."""
        for name, tags, seed, group, rate in (
            ("Ärger 100%", ["a", "b"], 0, "g", 0.01),
            ("ärgerlich", ["a"], 1, "g", 0.001),
            ("100_x", ["b"], 2, None, 0.1 + 0.2),
            ("100 x", [], 4294967295, None, 1e-30),
            (None, ["a", "b"], 0, None, 0.0008),
        ):
            spec = {
                "dataset": "digits",
                "name": name,
                "tags": tags,
                "seed": seed,
                "group": group,
                "learning_rate": rate,
            }
            assert client.post("/experiments", json=spec).status_code == 201

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("tag=a", [1, 2, 5]),
            ("tag=a&tag=b", [1, 5]),
            ("tag=a&tag=b&tag=c", []),
            ("name=ÄRGER", [1, 2]),
            ("name=ärger", [1, 2]),
            ("name=%25", [1]),
            ("name=0_x", [3]),
            ("name=0%20X", [4]),
            ("seed=0", [1, 5]),
            ("spec.seed=4294967295", [4]),
            ("spec.learning_rate=1e-2", [1]),
            ("spec.learning_rate=0.30000000000000004", [3]),
            ("spec.learning_rate=0.3", []),
            ("spec.learning_rate=0.0008&tag=a", [5]),
            ("spec.name=100_x", [3]),
            ("spec.name=null", [5]),
            ("spec.group=null&tag=b", [3, 5]),
            ("spec.train_size=null", [1, 2, 3, 4, 5]),
            ("spec.shuffle=true&seed=1", [2]),
            ("spec.shuffle=false", []),
            ("spec.device=auto&spec.epochs=150&spec.sgd_momentum=0.9&name=lich", [2]),
        ],
    )
    def test_choose_experiments(self, client, five, query, expected):
        """A list has the experiments that match every filter."""
        assert ids(client.get(f"/experiments?sort=id&{query}").json()) == expected

    @pytest.mark.parametrize(
        "query", ["spec.learning_rate=x", "spec.epochs=0", "spec.epochs=null", "spec.network=1", "seed=-1", "name="]
    )
    def test_impossible_value_is_refused(self, client, query):
        """A filter that no experiment can match, because the spec allows no such value, is refused."""
        assert problem(client.get(f"/experiments?{query}"), 422)["errors"][0]["field"] == query.partition("=")[0]

    def test_keeps_filters_on_the_next_page(self, client, five):
        """The next page has the filters of the first one, repeated ones too, and its address names no host."""
        page = client.get("/experiments?tag=a&tag=b&limit=1&sort=-name").json()
        assert (ids(page), page["next"]) == (
            [1], "/experiments?tag=a&tag=b&limit=1&sort=-name&cursor=1%2C%22%C3%A4rger+100%25%22",
        )  # fmt: skip
        page = client.get(page["next"]).json()
        assert (ids(page), page["next"]) == ([5], None)


class TestFields:
    def test_reach_into_the_spec(self, client, recorded):
        """Single fields of the spec and of the progress can be chosen, and whole fields of the full response."""
        location, _ = recorded
        experiment = client.get(location).json()

        def row(fields):
            return client.get(f"/experiments?fields={fields}").json()["experiments"][0]

        assert row("id,spec.learning_rate,spec.seed") == {"id": 1, "spec": {"learning_rate": 0.0008, "seed": 0}}
        assert row("progress.epochs_done,best_test_accuracy") == {
            "progress": {"epochs_done": 2},
            "best_test_accuracy": 0.525,
        }
        assert row("spec.seed,spec") == row("spec,spec.seed") == {"spec": experiment["spec"]}
        assert row("network,provenance,links") == {
            name: experiment[name] for name in ("network", "provenance", "links")
        }
        every = row(",".join(ExperimentResponse.model_fields))
        assert every == experiment

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ("nothing", "An experiment has id, name"),
            ("id,spec.lerning_rate", "did you mean spec.learning_rate?"),
            ("provenance.device", "no field of this name"),
            ("", "no field of this name"),
        ],
    )
    def test_unknown_field_is_refused(self, client, fields, expected):
        """An unknown field is refused, with the closest one that there is."""
        assert expected in problem(client.get(f"/experiments?fields={fields}"), 422)["errors"][0]["expected"]


class TestCursors:
    @pytest.mark.parametrize(
        ("sort", "cursor"),
        [
            ("id", "1,0.5"),
            ("-created_at", "1"),
            ("best_test_accuracy", '1,"a"'),
            ("best_test_accuracy", "1,NaN"),
            ("best_test_accuracy", "1,1e999"),
            ("name", "1,0.5"),
            ("name", '1,"\u0000"'),
            ("name", "1," + "[" * 2000),
        ],
    )
    def test_of_another_order_is_refused(self, client, sort, cursor):
        """A cursor that no page of this order has is refused, with an example."""
        assert (
            "such as 17" in problem(client.get("/experiments", params={"sort": sort, "cursor": cursor}), 422)["detail"]
        )

    def test_leads_through_every_order(self, client, recorded):
        """The pages of every order, in both directions, hold every experiment once."""
        for name in ("b", None, 'B,"x', ""):
            client.post("/experiments", json={"dataset": "digits", "name": name})
        for sort in get_args(Sort):
            seen, address = [], f"/experiments?limit=2&sort={sort}"
            while address is not None:
                page = client.get(address).json()
                seen += ids(page)
                address = page["next"]
            assert sorted(seen) == [1, 2, 3, 4, 5], sort


class TestSpeed:
    @pytest.mark.slow
    def test_page_of_100(self, client, sqlite):
        """A page of 100 rows has at most 60 KB and takes at most 15 ms of processor time, as the median of 20."""
        for number in range(100):
            spec = {"dataset": "digits", "normalization": "batch", "name": f"run {number}", "tags": ["study", "a"]}
            client.post("/experiments", json=spec | {"seed": number})
        seconds = []
        for _ in range(25):
            began = time.process_time()  # of the service's threads too; other processes do not count
            page = client.get("/experiments?limit=100")
            seconds.append(time.process_time() - began)
        assert len(page.json()["experiments"]) == 100
        assert len(page.content) <= 60_000
        assert statistics.median(seconds[5:]) <= 0.015


class TestRead:
    def test_answer_fits_its_model(self, client, recorded):
        """A client can read an experiment with the model of the response."""
        location, _ = recorded
        experiment = ExperimentResponse.model_validate_json(client.get(location).content)
        assert (experiment.status, experiment.progress.epochs_done) == ("running", 2)

    def test_phase_and_pace_are_of_a_running_experiment(self, client, recorded, sqlite):
        """The progress of a running experiment has its phase and pace; of an ended one these are null."""
        location, claim = recorded
        assert client.get(location).json()["progress"]["phase"] == "loading"
        live = LiveProgress(Phase.TESTING, 1200.5, 33.0)
        do(sqlite, claims.heartbeat, claim, step=3, lease_seconds=30, live=live)
        progress = client.get(location).json()["progress"]
        assert (progress["phase"], progress["images_per_second"], progress["seconds_left"]) == ("testing", 1200.5, 33.0)
        do(sqlite, claims.succeed, claim)
        progress = client.get(location).json()["progress"]
        assert (progress["phase"], progress["images_per_second"], progress["seconds_left"]) == (None, None, None)

    def test_warnings_are_in_experiment_and_list(self, client, recorded, sqlite):
        """An experiment and its row in the list have its warnings."""
        location, claim = recorded
        warning = {"code": "dead_layer", "message": "no gradient", "layer": 3, "epoch": 1}
        do(sqlite, claims.store_warnings, claim, [warning])
        assert client.get(location).json()["warnings"] == [warning]
        assert client.get("/experiments").json()["experiments"][0]["warnings"] == [warning]

    def test_spec_that_is_not_valid_any_more(self, client, recorded, sqlite):
        """A spec that an older release accepted is shown, drawn and listed, although this release would refuse it."""
        location, claim = recorded
        with sqlite.writing.begin() as session:
            experiment = session.get(Experiment, claim.experiment_id)
            old = {"name": "\uffff", "tags": ["x"] * 40, "norm_eps": 2.0, "forgotten": 1}
            experiment.spec, experiment.name = experiment.spec | old, "\uffff"
        problem(client.post("/experiments", json={"name": "\uffff"}), 422)
        spec = client.get(location).json()["spec"]
        assert (spec["name"], spec["tags"], spec["norm_eps"]) == ("\uffff", ["x"] * 40, 2.0)
        plots = f"{location}/plots"
        for address in ("/experiments", plots, f"{plots}/summary.png", f"{plots}/loss.svg"):
            assert client.get(address).status_code == 200

    @pytest.mark.parametrize(
        "address", ["/experiments/999", "/experiments/0", "/experiments/x", "/experiments/9" + "9" * 30]
    )
    @pytest.mark.parametrize(
        "below", ["", "/metrics", "/layers", "/histograms?quantity=weight", "/plots", "/plots/loss.png"]
    )
    def test_unknown_experiment(self, client, address, below):
        """An unknown experiment, or one whose number is none, is a 404 problem at each of its addresses."""
        problem(client.get(address + below), 404)
