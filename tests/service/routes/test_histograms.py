"""Histograms of one experiment and of several: bins, chosen and common edges, and the values outside."""

import csv
import dataclasses
import io

import numpy as np
import pytest

from normlab.spec.record_responses import SeveralHistogramsResponse
from normlab.store import records
from tests.experiments import claimed, do
from tests.factories import histogram_of, record_of
from tests.service.clients import problem

ONE = "quantity=update&layer=3&epoch=1"

rng = np.random.default_rng(17)


def record_values(database, claim, values, *, layer=1):
    """Record the values as the weights of a layer in epoch 2."""
    record = record_of(2)
    capture = dataclasses.replace(record.captures[0], histograms={(layer, "weight"): histogram_of(values)})
    do(database, records.record, claim, dataclasses.replace(record, captures=(capture,)))


@pytest.fixture
def histogram(client, recorded, sqlite):
    """Fetches the one histogram of values."""
    location, claim = recorded

    def fetch(values, query=""):
        record_values(sqlite, claim, values)
        (row,) = client.get(f"{location}/histograms?quantity=weight&epoch=2{query}").json()["histograms"]
        return row

    return fetch


def counts_of(row):
    return [count for _, _, count in row["bins"]]


class TestBins:
    def test_linear_and_native_bins_count_every_value(self, client, recorded):
        """Linear bins count every value, native bins every value but the zeros, and CSV has a line per bin."""
        location, _ = recorded
        (linear,) = client.get(f"{location}/histograms?{ONE}").json()["histograms"]
        assert len(linear["bins"]) == 50
        assert sum(counts_of(linear)) == pytest.approx(500)
        (native,) = client.get(f"{location}/histograms?{ONE}&binning=native").json()["histograms"]
        assert sum(counts_of(native)) + native["zeros"] == 500
        table = client.get(f"{location}/histograms?{ONE}", headers={"accept": "text/csv"})
        assert table.headers["content-type"].startswith("text/csv")
        assert len(table.text.splitlines()) == 51

    def test_csv_of_native_bins_has_the_zeros(self, client, recorded):
        """Each line of CSV has the number of zeros, which no native bin counts."""
        location, _ = recorded
        table = client.get(f"{location}/histograms?{ONE}&binning=native&format=csv").text
        rows = list(csv.DictReader(io.StringIO(table)))
        assert sum(float(row["count"]) for row in rows) + int(rows[0]["zeros"]) == 500

    @pytest.mark.parametrize("value", [0.1, 0.0, 1e17, -3e38, 1e-45])
    def test_constant_has_bins_about_its_value(self, histogram, value):
        """Values that are all equal are in one of 50 bins about them, however large they are."""
        row = histogram(np.full(10, value), "&bins=1000")
        assert max(counts_of(row)) == sum(counts_of(row)) == 10
        low, high = row["bins"][0][0], row["bins"][-1][1]
        assert low < np.float32(value) < high

    def test_coarse_resolution_is_named(self, histogram):
        """A histogram whose bins are wider than its spread says so, with the width in standard deviations."""
        row = histogram(1 + 1e-4 * rng.normal(size=20_000))
        assert row["resolution_is_coarse"]
        assert row["resolution"] > 1
        assert row["divided"] > 10_000

    def test_values_about_zero_are_resolved(self, client, recorded):
        """A histogram of values about 0 says that its resolution is fine."""
        location, _ = recorded
        (row,) = client.get(f"{location}/histograms?{ONE}").json()["histograms"]
        assert not row["resolution_is_coarse"]
        assert 0 < row["resolution"] < 0.05
        assert row["divided"] < 25


class TestChosenEdges:
    def test_values_outside_are_counted(self, histogram):
        """With low and high, the values outside are counted below and above, and none is dropped."""
        values = np.array([-5, -0.9, 0, 0, 0.25, 0.75, 0.8, 0.9, 3, np.nan], np.float32)
        row = histogram(values, "&low=-1&high=1&bins=4")
        assert row["bins"] == [[-1, -0.5, 1], [-0.5, 0, 0], [0, 0.5, 3], [0.5, 1, 3]]
        assert (row["below"], row["above"], row["nonfinite"]) == (1, 1, 1)

    def test_agree_with_numpy(self, histogram):
        """The counts between chosen edges are numpy's, to within the values that were divided."""
        values = rng.normal(size=20_000).astype(np.float32)
        row = histogram(values, "&low=-0.5&high=2&bins=40")
        expected, _ = np.histogram(values, 40, (-0.5, 2))
        assert np.abs(np.subtract(counts_of(row), expected)).sum() / 2 < 0.01 * 20_000
        assert row["below"] == pytest.approx((values < -0.5).sum(), abs=50)
        assert row["below"] + sum(counts_of(row)) + row["above"] == pytest.approx(20_000)

    @pytest.mark.parametrize(
        ("query", "outside", "first", "last"),
        [
            ("&low=10", "below", 10, None),  # above all values
            ("&high=-10", "above", None, -10),
            ("&low=0", "below", 0, 1),
            ("&high=0", "above", -1, 0),
        ],
    )
    def test_one_edge_alone(self, histogram, query, outside, first, last):
        """One edge alone leaves the other at the exact extreme, or beside it if it lies beyond all values."""
        row = histogram(np.linspace(-1, 1, 101), query)
        assert row[outside] == pytest.approx(101 if last != 0 and first != 0 else 50)
        assert row["below"] + sum(counts_of(row)) + row["above"] == pytest.approx(101)
        assert first is None or row["bins"][0][0] == first
        assert last is None or row["bins"][-1][1] == last

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("low=1&high=1", "low: expected a number below high"),
            ("low=2&high=1", "low: expected a number below high"),
            ("low=-1e308&high=1e308", "no 50 bins between"),
            ("low=1&high=1.0000000000000002", "no 50 bins between"),
            ("low=0&binning=native", "low: native bins are as they are stored"),
        ],
    )
    def test_wrong_edges_are_refused(self, client, recorded, query, message):
        """Edges between which there are no bins are refused."""
        location, _ = recorded
        assert message in problem(client.get(f"{location}/histograms?quantity=update&{query}"), 422)["detail"]

    @pytest.mark.parametrize("value", ["nan", "inf", "x"])
    def test_edge_is_a_finite_number(self, client, recorded, value):
        """An edge that is no finite number is refused."""
        location, _ = recorded
        problem(client.get(f"{location}/histograms?quantity=update&low={value}"), 422)

    def test_csv_has_lines_for_what_is_outside(self, client, recorded, sqlite):
        """In CSV a line without a low edge counts the values below, and one without a high edge those above."""
        location, claim = recorded
        record_values(sqlite, claim, [-5, 0.25, 0.75, 3])
        response = client.get(f"{location}/histograms?quantity=weight&epoch=2&low=0&high=1&bins=2&format=csv")
        lines = list(csv.DictReader(io.StringIO(response.text)))
        assert [(line["low"], line["high"], float(line["count"])) for line in lines] == [
            ("", "0.0", 1), ("0.0", "0.5", 1), ("0.5", "1.0", 1), ("1.0", "", 1),
        ]  # fmt: skip


class TestSeveralExperiments:
    @pytest.fixture
    def two(self, client, recorded, sqlite):
        """Two experiments with recorded weights of different ranges."""
        _, claim = recorded
        record_values(sqlite, claim, np.linspace(-1, 1, 100))
        client.post("/experiments", json={"dataset": "digits"})
        record_values(sqlite, claimed(sqlite), np.linspace(0, 4, 200))
        return "experiments=1,2&quantity=weight&epoch=2"

    def test_edges_are_common(self, client, two):
        """The bins of all rows have the same edges, from the smallest to the largest value of all."""
        response = client.get(f"/histograms?{two}&bins=5")
        first, second = response.json()["histograms"]
        assert (first["experiment"], second["experiment"]) == (1, 2)
        assert [row[:2] for row in first["bins"]] == [row[:2] for row in second["bins"]]
        assert [row[0] for row in first["bins"]] == [-1, 0, 1, 2, 3]
        assert (sum(counts_of(first)), sum(counts_of(second))) == (pytest.approx(100), pytest.approx(200))
        SeveralHistogramsResponse.model_validate_json(response.content, strict=True, extra="forbid")

    def test_edges_can_be_chosen(self, client, two):
        """Chosen edges are those of all rows, and the values outside are counted."""
        first, second = client.get(f"/histograms?{two}&bins=4&low=0&high=2").json()["histograms"]
        assert (first["below"], second["above"]) == (pytest.approx(50), pytest.approx(100, abs=1))
        assert first["bins"][0][0] == second["bins"][0][0] == 0

    def test_csv_names_the_experiment(self, client, two):
        """CSV has the experiment's number in its first column."""
        lines = client.get(f"/histograms?{two}&format=csv").text.splitlines()
        assert lines[0] == "experiment,epoch,step,layer,quantity,zeros,nonfinite,resolution,low,high,count"
        assert {line.split(",")[0] for line in lines[1:]} == {"1", "2"}
        assert len(lines) == 1 + 2 * 50

    def test_unknown_experiment_is_not_found(self, client, two):
        """An experiment that does not exist is named in the 404."""
        refused = problem(client.get("/histograms?experiments=1,77&quantity=weight"), 404)
        assert "there is no experiment 77" in refused["detail"]

    @pytest.mark.parametrize(
        "query", ["experiments=1", "experiments=x&quantity=weight", "experiments=1&quantity=nothing",
                  "experiments=1&quantity=weight&low=2&high=1"],
    )  # fmt: skip
    def test_wrong_requests_are_refused(self, client, two, query):
        """A request without a quantity, with an unknown one, or with wrong numbers or edges is refused."""
        problem(client.get(f"/histograms?{query}"), 422)

    def test_too_many_bins_are_refused(self, client, two, monkeypatch):
        """A response with more bins than the limit is refused."""
        monkeypatch.setattr("service.routes.histograms.MAX_BINS", 99)
        assert "this one has about 100" in problem(client.get(f"/histograms?{two}"), 422)["detail"]

    def test_without_captures_there_are_no_rows(self, client):
        """Experiments without captures have no histograms."""
        client.post("/experiments", json={"dataset": "digits"})
        assert client.get("/histograms?experiments=1&quantity=weight").json() == {"histograms": []}
