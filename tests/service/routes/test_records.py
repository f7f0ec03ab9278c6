"""Reading records: metrics and layer statistics, as JSON and as CSV, and the limits of all records."""

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from normlab.spec.quantities import QUANTITIES
from normlab.spec.record_responses import HistogramsResponse, LayersResponse, MetricsResponse
from normlab.store import records
from tests.experiments import do
from tests.factories import metrics_of, record_of
from tests.service.clients import problem

ONE = "quantity=update&layer=3&epoch=1"


class TestFormats:
    def test_metrics(self, client, recorded):
        """Metrics have one row per epoch, and the same numbers in JSON and CSV."""
        location, _ = recorded
        metrics = client.get(f"{location}/metrics").json()["metrics"]
        assert [row["epoch"] for row in metrics] == [0, 1]
        rows = list(csv.DictReader(io.StringIO(client.get(f"{location}/metrics?format=csv").text)))
        assert [float(row["test_accuracy"]) for row in rows] == [row["test_accuracy"] for row in metrics]

    def test_layers(self, client, recorded):
        """Layer statistics are filtered by quantity, layer and epoch; an unknown quantity is refused."""
        location, _ = recorded
        (row,) = client.get(f"{location}/layers?{ONE}").json()["layers"]
        assert (row["count"], row["layer"], row["quantity"]) == (500, 3, "update")
        assert row["l2_norm"] > 0
        refused = problem(client.get(f"{location}/layers?quantity=nothing"), 422)
        assert "expected weight_gradient, input_gradient" in refused["detail"]

    @pytest.mark.parametrize(
        ("path", "last"),
        [("metrics", "images_per_second"), ("layers", "l2_norm"), ("histograms?quantity=update", "count")],
    )
    def test_csv_header_without_rows(self, client, recorded, path, last):
        """CSV without a row has the header that it will have with rows."""
        location, _ = recorded
        new = client.post("/experiments", json={"dataset": "digits"}).headers["location"]
        (header,) = client.get(f"{new}/{path}", headers={"accept": "text/csv"}).text.splitlines()
        assert header == client.get(f"{location}/{path}", headers={"accept": "text/csv"}).text.splitlines()[0]
        assert header.split(",")[-1] == last


class TestModels:
    """The routes do not validate these responses, for speed, so the tests do."""

    @pytest.mark.parametrize(
        ("path", "model", "rows"),
        [
            ("metrics", MetricsResponse, 2),
            ("layers", LayersResponse, 2 * 6 * len(QUANTITIES)),
            ("histograms?quantity=weight", HistogramsResponse, 12),
            ("histograms?quantity=weight&binning=native", HistogramsResponse, 12),
        ],
    )
    def test_answer_fits_its_model(self, client, recorded, path, model, rows):
        """The response has exactly the fields and types of its model."""
        location, _ = recorded
        response = client.get(f"{location}/{path}")
        parsed = model.model_validate_json(response.content, strict=True, extra="forbid")
        (name,) = model.model_fields
        assert len(getattr(parsed, name)) == rows
        assert parsed.model_dump(mode="json") == response.json()

    def test_loss_that_is_not_finite_is_null(self, client, recorded, sqlite):
        """A loss that is not finite is null."""
        location, claim = recorded
        diverged = record_of(2)
        metrics = metrics_of(2, train_loss=None, test_loss=None)
        do(sqlite, records.record, claim, records.Record(metrics, diverged.captures, diverged.checkpoint))
        response = MetricsResponse.model_validate_json(client.get(f"{location}/metrics").content, strict=True)
        assert (response.metrics[2].train_loss, response.metrics[2].test_loss) == (None, None)


class TestAbsent:
    """What the experiment does not have is a 404 that names what it has, and not an empty list."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("quantity=weight&epoch=7", "not captured at epoch 7; they were at 0, 1"),
            ("quantity=weight&layer=9", "captures no weight in layer 9; it captures layers 1, 2, 3, 4, 5, 6"),
            ("quantity=norm_output_gradient&layer=7", "in layer 7; it captures layers 1, 2, 3, 4, 5"),
        ],
    )
    @pytest.mark.parametrize("path", ["layers", "histograms"])
    def test_epoch_or_layer(self, client, recorded, path, query, expected):
        """An epoch without a capture, and a layer that is not there, are 404 problems."""
        location, _ = recorded
        for options in ("", "&format=csv"):
            assert expected in problem(client.get(f"{location}/{path}?{query}{options}"), 404)["detail"]

    def test_without_a_quantity(self, client, recorded):
        """The statistics of all quantities of an absent layer or epoch are a 404 problem too."""
        location, _ = recorded
        assert "no layer 9; it captures layers 1" in problem(client.get(f"{location}/layers?layer=9"), 404)["detail"]
        assert "they were at 0, 1" in problem(client.get(f"{location}/layers?epoch=2"), 404)["detail"]

    def test_quantity_that_is_not_captured(self, client):
        """A quantity that the spec does not capture, or that no layer has, is a 404 problem."""
        spec = {"dataset": "digits", "capture_quantities": ["weight", "norm_input_gradient"]}
        location = client.post("/experiments", json=spec).headers["location"]
        for quantity in ("update", "norm_input_gradient"):
            response = client.get(f"{location}/layers?quantity={quantity}")
            assert f"captures no {quantity}; it captures weight" in problem(response, 404)["detail"]
        nothing = client.post("/experiments", json=spec | {"capture_quantities": []}).headers["location"]
        assert client.get(f"{nothing}/layers").json() == {"layers": []}
        assert "captures nothing" in problem(client.get(f"{nothing}/layers?quantity=weight"), 404)["detail"]
        assert "layers none" in problem(client.get(f"{nothing}/layers?layer=1"), 404)["detail"]
        assert "none yet" in problem(client.get(f"{nothing}/layers?epoch=0"), 404)["detail"]

    def test_not_yet_recorded(self, client):
        """Before the first capture the records of a layer that is there are empty, and an epoch is a 404 problem."""
        location = client.post("/experiments", json={"dataset": "digits"}).headers["location"]
        assert client.get(f"{location}/layers?layer=6&quantity=weight").json() == {"layers": []}
        assert "they were at none yet" in problem(client.get(f"{location}/layers?epoch=0"), 404)["detail"]


class TestLimits:
    def test_too_many_histograms(self, client, recorded, monkeypatch):
        """A response with more rows than the limit is refused, and the problem says what to name."""
        location, _ = recorded
        monkeypatch.setattr("service.routes.histograms.MAX_BINS", 6 * 50)
        monkeypatch.setattr("service.routes.records.MAX_ROWS", 6)
        for path in ("histograms?quantity=weight", "layers?quantity=weight"):
            assert "name a layer, an epoch" in problem(client.get(f"{location}/{path}"), 422)["detail"]
            assert client.get(f"{location}/{path}&epoch=1").status_code == 200

    def test_more_readers_than_connections(self, client, recorded):
        """More readers at once than there are database connections do not block each other."""
        location, _ = recorded
        began = time.monotonic()
        with ThreadPoolExecutor(60) as threads:
            responses = [threads.submit(client.get, f"{location}/metrics") for _ in range(300)]
            assert {response.result().status_code for response in responses} == {200}
        assert time.monotonic() - began < 15
