"""Figures: their index, when they are rendered again, and why one cannot be fetched."""

from dataclasses import replace

import pytest

from normlab.spec.quantities import QUANTITIES
from normlab.spec.record_responses import PlotsResponse
from normlab.store import claims, records
from service.rendering.render_pool import RenderPool
from tests.experiments import do
from tests.factories import record_of
from tests.service.clients import problem


def figure_names(client, location):
    return [plot["name"] for plot in client.get(f"{location}/plots").json()["plots"]]


class TestIndex:
    @pytest.mark.slow
    def test_every_figure_can_be_fetched(self, client, recorded):
        """Every address of the index has an image of its media type."""
        location, _ = recorded
        index = client.get(f"{location}/plots")
        assert PlotsResponse.model_validate_json(index.content, strict=True).plots[0].name == "summary"
        plots = index.json()["plots"]
        assert len(plots) == 10
        for plot in plots:
            for media_type, url in plot["urls"].items():
                response = client.get(url)
                assert response.status_code == 200, response.text
                assert response.headers["content-type"] == media_type
                assert response.headers["x-content-type-options"] == "nosniff"
            assert {"image/png", "image/svg+xml", "application/pdf"} <= plot["urls"].keys()
            assert ("image/gif" in plot["urls"]) == (plot["name"] in QUANTITIES)

    def test_heading_and_captions(self, client, recorded):
        """A figure names its experiment, the learning rate, and the kind and shape of each layer."""
        location, _ = recorded
        weights = client.get(f"{location}/plots/weight.svg").text
        number = location.rpartition("/")[2]
        assert f">experiment {number} · batch · digits · seed 0 · learning rate 0.0008</text>" in weights
        assert ">convolution 3×3 → 16×16×16</text>" in weights
        assert ">batch normalization, 16×16×16</text>" in client.get(f"{location}/plots/norm_input_gradient.svg").text

    def test_figures_show_the_warnings(self, client, recorded, sqlite):
        """Figures name the warnings below the heading, of a comparison which experiments have some."""
        location, claim = recorded
        number = location.rpartition("/")[2]
        comparison = f"/plots/test-accuracy.svg?experiments={number}"
        before = [client.get(url).text for url in (f"{location}/plots/loss.svg", comparison)]
        messages = [f"message {index}" for index in range(5)]
        do(sqlite, claims.store_warnings, claim, [{"code": "dead_layer", "message": each} for each in messages])
        for name in ("loss", "weight", "summary"):
            figure = client.get(f"{location}/plots/{name}.svg").text
            for text in (*messages[:3], "2 more, in the experiment's JSON"):
                assert f"Warning: {text}" in figure
        assert f"Warning: the JSON of {number} has warnings" in client.get(comparison).text
        assert not any("Warning" in figure for figure in before)

    @pytest.mark.parametrize(
        ("fields", "listed"),
        [
            ({"normalization": "none"}, False),
            ({"normalization": "batch"}, True),
            ({"normalization": "weight_standardization"}, False),
            (
                {
                    "normalization": "none",
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
    def test_figures_of_normalizations(self, client, fields, listed):
        """The figures of normalizations are listed if the network has a normalization layer."""
        location = client.post("/experiments", json={"dataset": "digits"} | fields).headers["location"]
        assert ("norm_output_gradient" in figure_names(client, location)) == listed


class TestETag:
    def test_unchanged_figure_is_304(self, client, recorded, sqlite):
        """A client that has a figure gets 304 until its experiment changes: by an epoch, by its end, by a new name."""
        location, claim = recorded
        url = f"{location}/plots/weight.png"
        first = client.get(url)
        weak = {"if-none-match": "W/" + first.headers["etag"]}  # as a proxy that recodes it names it
        assert client.get(first.request.url.path, headers=weak).status_code == 304
        etag = {"if-none-match": first.headers["etag"]}
        assert (client.get(url, headers=etag).status_code, first.headers["cache-control"]) == (304, "private, no-cache")
        assert client.get(url + "?scale=symlog", headers=etag).status_code == 200
        do(sqlite, claims.require_claim, claim, epochs_done=3)
        changed = client.get(url, headers=etag)
        assert changed.status_code == 200
        do(sqlite, claims.succeed, claim)
        last = client.get(url, headers={"if-none-match": changed.headers["etag"]})
        assert last.status_code == 200
        etag = {"if-none-match": last.headers["etag"]}
        assert (client.get(url, headers=etag).status_code, last.headers["cache-control"]) == (304, "private, no-cache")
        client.patch(location, json={"name": "renamed"})
        assert client.get(url, headers=etag).status_code == 200

    def test_capture_within_an_epoch_changes_it(self, client, recorded, sqlite):
        """A figure is rendered again when a capture is recorded within an epoch."""
        location, claim = recorded
        etag = client.get(f"{location}/plots/weight.png").headers["etag"]
        assert client.get(f"{location}/plots/weight.png", headers={"if-none-match": etag}).status_code == 304
        do(sqlite, records.record, claim, replace(record_of(2, quantities=QUANTITIES), metrics=None))
        assert client.get(f"{location}/plots/weight.png", headers={"if-none-match": etag}).status_code == 200


class TestRefused:
    def test_before_the_first_epoch(self, client):
        """A figure before the first epoch is a 409 problem that says so."""
        location = client.post("/experiments", json={}).headers["location"]
        for name in ("weight_gradient.gif", "summary.png", "loss.png"):
            assert "before its first epoch" in problem(client.get(f"{location}/plots/{name}"), 409)["detail"]
        assert "nothing to draw" in problem(client.get("/plots/train-accuracy.png?experiments=1"), 409)["detail"]

    def test_full_queue(self, client, recorded):
        """A figure that finds the queue full is a 503 problem with Retry-After."""
        location, _ = recorded
        client.app.state.render_pool = RenderPool(max_waiting=0)
        response = client.get(f"{location}/plots/loss.png")
        assert "many figures are waiting" in problem(response, 503)["detail"]
        assert response.headers["retry-after"] == "5"

    def test_unknown_figure(self, client, recorded):
        """A figure that the experiment does not have is a 404 problem that says what it has."""
        location, _ = recorded
        assert "it has summary, weight_gradient" in problem(client.get(f"{location}/plots/bias.png"), 404)["detail"]
        assert "they were at 0, 1" in problem(client.get(f"{location}/plots/weight.png?epoch=7"), 404)["detail"]
        assert "is a still" in problem(client.get(f"{location}/plots/loss.gif"), 404)["detail"]
        none = client.post("/experiments", json={}).headers["location"]
        problem(client.get(f"{none}/plots/norm_input_gradient.png"), 404)

    @pytest.mark.parametrize("axis", ["fixed", "free"])
    def test_axis_of_a_figure_of_one_frame(self, client, recorded, axis):
        """A range over several frames is refused where there is one frame, with the reason."""
        location, _ = recorded
        for name, reason in (("summary", "the summary shows one epoch"), ("loss", "loss shows every epoch")):
            detail = problem(client.get(f"{location}/plots/{name}.png?axis={axis}"), 422)["detail"]
            assert f"axis: {reason}" in detail


class TestFrames:
    def test_long_training_reads_as_many_captures_as_frames(self, client, recorded, monkeypatch):
        """Of a long training only as many captures are read as a GIF has frames, and the shown one."""
        location, _ = recorded
        monkeypatch.setattr("service.routes.plots.MAX_FRAMES", 1)
        requested = []
        monkeypatch.setattr(records, "captures", lambda *_, steps, **__: requested.append(steps) or [])
        client.get(f"{location}/plots/weight.png")
        client.get(f"{location}/plots/weight.png?epoch=0")
        assert requested == [[1, 2], [1]]


class TestComparison:
    def test_several_experiments(self, client, recorded):
        """Several experiments share a figure; an unknown one is named, and a list that holds no numbers is refused."""
        response = client.get("/plots/test-accuracy.png?experiments=1")
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        svg = client.get("/plots/test-accuracy.svg?experiments=1").text
        assert ">digits · learning rate 0.0008</text>" in svg
        assert ">batch (1)</text>" in svg
        assert client.get("/plots/test-accuracy.pdf?experiments=1").content.startswith(b"%PDF-")
        assert "no experiment 99" in problem(client.get("/plots/train-accuracy.png?experiments=1,99"), 404)["detail"]
        problem(client.get("/plots/train-accuracy.png?experiments=a"), 422)
        problem(client.get("/plots/train-accuracy.png"), 422)

    def test_number_too_long(self, client):
        """A number of thousands of digits is refused."""
        problem(client.get("/plots/test-accuracy.png?experiments=" + "9" * 5000), 422)
