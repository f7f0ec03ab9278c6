"""Reading experiments: the list with its filters and pages, and one of them."""

import pytest

from normlab.spec.responses import ExperimentPage, ExperimentResponse
from normlab.store.models import Experiment
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
        assert "'nothing' is none of" in problem(client.get("/experiments?fields=nothing"), 422)["detail"]
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
        page = ExperimentPage.model_validate_json(client.get("/experiments").content)
        assert [experiment.id for experiment in page.experiments] == [2, 1]


class TestRead:
    def test_answer_fits_its_model(self, client, recorded):
        """A client can read an experiment with the model of the response."""
        location, _ = recorded
        experiment = ExperimentResponse.model_validate_json(client.get(location).content)
        assert (experiment.status, experiment.progress.epoch) == ("running", 2)

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
