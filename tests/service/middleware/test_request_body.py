"""The request body: its type, its encoding and its size, by requests over a real socket."""

import json
import socket

import pytest

from tests.service.middleware.requests import SMALL, ask


class TestType:
    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""]
    )
    def test_only_json(self, port, kind):
        """A body must be JSON and say so in its header."""
        status, _, text = ask(port, "POST", body=SMALL, content_type=kind)
        assert status == 415
        assert "content-type: application/json" in json.loads(text)["detail"]

    def test_compressed_body(self, port):
        """A compressed body is refused before it is read."""
        assert ask(port, "POST", body=SMALL, content_encoding="gzip")[0] == 415


class TestEncoding:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
    @pytest.mark.parametrize(
        "text", ["{}", '{"a": "\u2200", "name": ' + "[" * 300 + "]" * 300 + "}", '{"seed": ' + "9" * 5000 + "}"],
        ids=["small", "deep", "long number"],
    )  # fmt: skip
    def test_other_than_utf_8(self, port, encoding, text):
        """A body in UTF-16 or UTF-32 is refused, whatever is in it."""
        status, _, response = ask(port, "POST", body=text.encode(encoding))
        assert status == 422
        looks_like = encoding[:6].upper()
        assert json.loads(response)["detail"] == f"body: expected JSON in UTF-8; got what looks like {looks_like}"

    def test_not_unicode(self, port):
        """A body with bytes that are no UTF-8 is refused with their position."""
        for body in (b'{"name": "\xe9"}', b'{"name": "\xed\xa0\x80"}'):
            status, _, response = ask(port, "POST", body=body)
            detail = "body: expected JSON in UTF-8; got other bytes at 10"
            assert (status, json.loads(response)["detail"]) == (422, detail)

    def test_byte_order_mark_and_text_beyond_ascii(self, port):
        """UTF-8 with a byte order mark and with any character is accepted."""
        body = '{"dataset": "digits", "name": "\u2200\U0001f4a9"}'.encode("utf-8-sig")
        assert ask(port, "POST", body=body)[0] == 201


class TestSize:
    def test_body_is_counted_as_it_arrives(self, port):
        """A body is counted as it arrives, whether its length is announced or not."""
        chunk = b" " * 100_000

        def spaces(count):
            yield from [chunk] * count
            yield SMALL

        assert ask(port, "POST", body=spaces(9))[0] == 201
        assert ask(port, "POST", body=spaces(10))[0] == 413
        assert ask(port, "POST", body=b" " * 1_000_001)[0] == 413

    def test_cut_off_body(self, port):
        """A client that disconnects within its body does no harm."""
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = [
                "POST /experiments HTTP/1.1",
                "Host: localhost",
                "Content-Type: application/json",
                "Content-Length: 500",
            ]
            connection.sendall("\r\n".join([*head, "", "{"]).encode())
        assert ask(port, path="/livez")[0] == 200
