"""Content negotiation: the weights of Accept and Accept-Encoding, and the routes that offer several media types."""

import pytest

from service.http.negotiation import accepts_coding, preferred
from tests.service.clients import problem

JSON, CSV = "application/json", "text/csv"


class TestPreferred:
    @pytest.mark.parametrize(
        ("accept", "media_type"),
        [
            ("", JSON), ("*/*", JSON), ("text/csv", CSV), ("TEXT/CSV", CSV), ("text/*", CSV), ("Text/*;Q=0.5", CSV),
            ("application/json, text/csv;q=0.9", JSON), ("application/json;q=0.1, text/csv;q=0.2", CSV),
            ("text/csv;q=0, */*", JSON), ("application/json;q=0, */*;q=0.1", CSV), ("text/*;q=0.1, */*;q=0.2", JSON),
            ("text/csv, application/json", CSV), ("application/json, text/csv", JSON), ("text/csv, */*", CSV),
            ("*/*, text/csv;q=0.5", JSON), ("text/csv;charset=utf-8;q=0.5, image/png", CSV),
            ("text/csv ; q=0.000 , application/json ; q=0.001", JSON), ("text/html, */*;q=0.8", JSON),
            ("text/csv;q=0", None), ("image/png", None), ("application/json;q=0, text/csv;q=0", None),
            ("text/csvx", None), ("*/*;q=0", None), ("application/problem+json", None),
            # Not valid, so as if it were absent.
            ("text/csv;q=2", JSON), ("text/csv;q=1e999", JSON), ("csv", JSON), ("*/csv", JSON), (",;,", JSON),
        ],
    )  # fmt: skip
    def test_weight_decides(self, accept, media_type):
        """The highest weight decides, the most specific range gives it, and the given order breaks a tie."""
        assert preferred(accept, [JSON, CSV]) == media_type

    @pytest.mark.parametrize(
        ("accepted", "gzip"),
        [
            ("", False), ("gzip", True), ("GZIP", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False),
            ("gzip;q=0, *", False), ("*;q=0", False), ("identity", False), ("gzipped", False),
        ],
    )  # fmt: skip
    def test_coding(self, accepted, gzip):
        """A coding is accepted if it is named, or covered by `*`, with a weight above 0."""
        assert accepts_coding(accepted, "gzip") == gzip


class TestRoutes:
    def test_records_as_json_or_csv(self, client, recorded):
        """Accept decides between JSON and CSV and is named in Vary. The parameter `format` fixes the media type."""
        location, _ = recorded
        for below in ("metrics", "layers", "histograms?quantity=weight"):
            address = f"{location}/{below}"
            for accept, kind in (("text/csv", CSV), ("text/csv;q=0, */*", JSON), ("*/*", JSON)):
                response = client.get(address, headers={"accept": accept})
                assert response.headers["content-type"].partition(";")[0] == kind
                assert response.headers["vary"] == "Accept, Accept-Encoding"
            fixed = client.get(f"{address}{'&' if '?' in address else '?'}format=csv", headers={"accept": JSON})
            assert fixed.headers["content-type"].partition(";")[0] == CSV
            assert fixed.headers["vary"] == "Accept-Encoding"
            refused = client.get(address, headers={"accept": "image/png"})
            assert "has application/json and text/csv; got 'image/png'" in problem(refused, 406)["detail"]
            assert "Accept" in refused.headers["vary"].split(", ")

    def test_other_media_type_is_refused(self, client):
        """A route that offers JSON alone refuses another media type with 406, before it writes anything."""
        for address in ("/experiments", "/livez", "/openapi.json"):
            assert "has application/json; got" in problem(client.get(address, headers={"accept": CSV}), 406)["detail"]
        assert "has text/html" in problem(client.get("/docs", headers={"accept": CSV}), 406)["detail"]
        assert "has text/plain" in problem(client.get("/metrics", headers={"accept": JSON}), 406)["detail"]
        problem(client.post("/experiments", json={"dataset": "digits"}, headers={"accept": CSV}), 406)
        assert client.get("/experiments").json()["experiments"] == []

    def test_suffix_fixes_the_format(self, client, recorded):
        """A figure's suffix fixes its format, whatever Accept says, and so nothing varies by Accept."""
        location, _ = recorded
        figure = client.head(f"{location}/plots/loss.png", headers={"accept": "text/html"})
        assert (figure.status_code, figure.headers["content-type"]) == (200, "image/png")
        assert "vary" not in figure.headers
