"""Compression of responses: what is compressed, when, and what the headers say of it."""

import gzip

import pytest
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse
from fastapi.testclient import TestClient

from service.middleware.compression import Compression
from tests.experiments import enqueue

GZIP = {"accept-encoding": "gzip"}
IDENTITY = {"accept-encoding": "identity"}


@pytest.fixture
def many(client, sqlite):
    """The address of a list that is longer than the smallest response that is compressed."""
    for _ in range(5):
        enqueue(sqlite)
    return "/experiments"


class TestCompression:
    def test_json_is_compressed(self, client, many):
        """JSON is compressed for a client that accepts gzip, and its weak ETag holds for both codings."""
        plain, packed = client.get(many, headers=IDENTITY), client.get(many, headers=GZIP)
        assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
        assert plain.content == packed.content
        assert int(packed.headers["content-length"]) < len(plain.content) / 3
        assert plain.headers["etag"] == packed.headers["etag"]
        assert plain.headers["etag"].startswith("W/")
        assert plain.headers["vary"] == packed.headers["vary"] == "Accept, Accept-Encoding"
        again = client.get(many, headers=GZIP | {"if-none-match": plain.headers["etag"]})
        assert (again.status_code, again.headers["vary"]) == (304, "Accept, Accept-Encoding")

    @pytest.mark.parametrize("refusing", ["gzip;q=0", "gzip;q=0, *", "br", "identity", ""])
    def test_refused_coding_is_not_used(self, client, many, refusing):
        """A client that refuses gzip gets none."""
        assert "content-encoding" not in client.get(many, headers={"accept-encoding": refusing}).headers

    def test_csv_is_compressed(self, client, recorded):
        """CSV is compressed; a response below 1,000 bytes is not."""
        location, _ = recorded
        rows = client.get(f"{location}/histograms?quantity=weight&format=csv", headers=GZIP)
        assert (rows.headers["content-encoding"], rows.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert "content-encoding" not in client.get("/livez", headers=GZIP).headers

    def test_packed_formats_and_events_are_not(self):
        """SVG is compressed; PNG, GIF, PDF and streams of events are passed on as they are, chunk by chunk."""
        app = FastAPI()
        app.add_middleware(Compression)
        body = b"<svg>" * 1000

        @app.get("/stream")
        def stream() -> Response:
            return StreamingResponse(iter([body, body]), media_type="text/event-stream")

        @app.get("/{kind:path}")
        def image(kind: str) -> Response:
            return Response(body, media_type=kind, headers={"etag": '"strong"'})

        client = TestClient(app)
        for address in ("/image/png", "/image/gif", "/application/pdf", "/stream"):
            response = client.get(address, headers=GZIP)
            assert {"content-encoding", "vary"}.isdisjoint(response.headers), address
            assert response.content.startswith(body)
        with client.stream("GET", "/image/svg+xml", headers=GZIP) as response:
            assert response.headers["content-encoding"] == "gzip"
            assert gzip.decompress(b"".join(response.iter_raw())) == body
