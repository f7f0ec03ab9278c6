"""Host, Origin and the security headers, by requests over a real socket."""

import asyncio
import json
import socket

import pytest

from service.middleware.host_and_origin import HostAndOrigin
from tests.service.middleware.requests import SMALL, ask


class TestHost:
    @pytest.mark.parametrize(
        "host", ["localhost", "127.0.0.1:8000", "[::1]:9", "LOCALHOST", "lab.example", "lab.example:443"]
    )
    def test_own_name(self, port, host):
        """A request for one of the service's own names is accepted, in any case and with any port."""
        assert ask(port, host=host)[0] == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::2]", "0.0.0.0"]
    )
    @pytest.mark.parametrize("path", ["/experiments", "/livez", "/docs", "/nothing"])
    def test_other_name_is_refused(self, port, host, path):
        """A request for another name is refused, so that no page can reach the service by a name of its own."""
        status, _, text = ask(port, path=path, host=host)
        assert status == 421
        assert "NORMLAB_ALLOWED_HOSTS" in json.loads(text)["detail"]


class TestOrigin:
    def test_own_or_allowed_origin(self, port):
        """A page of the service's own origin or of an allowed one can post."""
        for origin in (f"http://127.0.0.1:{port}", "https://notebook.example"):
            assert ask(port, "POST", body=SMALL, origin=origin)[0] == 201

    def test_cors_headers(self, port):
        """A browser shows an allowed origin's page the responses and learns what the page may send and read."""
        allowed = "https://notebook.example"
        _, headers, _ = ask(port, origin=allowed)
        assert headers["access-control-allow-origin"] == allowed
        assert {"location", "etag", "retry-after"} <= set(headers["access-control-expose-headers"].split(", "))
        preflight = {"origin": allowed, "access_control_request_method": "POST"}
        wanted = "authorization,content-type"
        status, headers, _ = ask(port, "OPTIONS", **preflight, access_control_request_headers=wanted)
        assert (status, headers["access-control-allow-origin"]) == (200, allowed)
        assert "authorization" in headers["access-control-allow-headers"]
        assert "if-none-match" in headers["access-control-allow-headers"]
        _, headers, _ = ask(port, "OPTIONS", **(preflight | {"origin": "https://evil.example"}))
        assert "access-control-allow-origin" not in headers

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://notebook.example.evil", "http://["]
    )
    def test_other_origin_is_refused(self, port, origin):
        """A page of another origin can neither post nor read."""
        for method, body in (("POST", SMALL), ("GET", None)):
            status, _, text = ask(port, method, body=body, origin=origin)
            assert status == 403
            assert "NORMLAB_ALLOWED_ORIGINS" in json.loads(text)["detail"]


class TestContentLength:
    @pytest.mark.parametrize("length", [b"\xb2", b"-1", b"1_0", b"", b"9" * 21, b"1000001"])
    def test_no_number_or_too_large(self, length):
        """A Content-Length that is no decimal number, or is too large, is refused with 413."""
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": "/", "headers": [(b"host", b"localhost"), (b"content-length", length)]}
        asyncio.run(HostAndOrigin(None, hosts=["localhost"], origins=[])(scope, None, send))
        assert sent[0]["status"] == 413


class TestSecurityHeaders:
    @pytest.mark.parametrize(
        "path", ["/experiments", "/experiments/999", "/livez", "/docs", "/openapi.json", "/nothing"]
    )
    def test_on_every_response(self, port, path):
        """Every response tells a browser to guess no type and run no script, except for the documentation's own."""
        _, headers, _ = ask(port, path=path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert ("script-src" in policy) == (path == "/docs")


class TestHead:
    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_health_check_without_body(self, port, path):
        """A health check can be requested without its body."""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            with connection.makefile("rb") as response:
                headers, _, body = response.read().partition(b"\r\n\r\n")
        assert headers.startswith(b"HTTP/1.1 200")
        assert body == b""
