"""The door: hosts, origins, bodies and headers, by requests as they come over a real socket."""

import http.client
import json
import os
import socket
import subprocess
import sys

import pytest

SMALL = json.dumps({"dataset": "digits"}).encode()


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Of a real service without a worker."""
    folder = tmp_path_factory.mktemp("door")
    environment = os.environ | {
        "NORMLAB_DATABASE_URL": f"sqlite:///{folder / 'normlab.db'}",
        "NORMLAB_ALLOWED_HOSTS": '["Lab.example"]',
        "NORMLAB_ALLOWED_ORIGINS": '["https://notebook.example"]',
    }
    command = [sys.executable, "-m", "service", "--no-worker", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline().rsplit(":", 1)[1])
        process.terminate()


def ask(port, method="GET", path="/experiments", body=None, **headers):
    """The status, the headers and the body of an answer; a header's underscores are dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        given = {"content-type": "application/json"} | given
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8000", "[::1]:9", "LOCALHOST", "lab.example", "lab.example:443"]
)
def test_it_answers_to_its_own_names(port, host):
    assert ask(port, host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::2]", "0.0.0.0"])
@pytest.mark.parametrize("path", ["/experiments", "/livez", "/docs", "/nothing"])
def test_it_answers_to_no_other_name_so_that_no_page_can_call_it_by_its_own(port, host, path):
    status, _, text = ask(port, path=path, host=host)
    assert status == 421
    assert "NORMLAB_ALLOWED_HOSTS" in json.loads(text)["detail"]


def test_a_page_of_its_own_or_of_an_allowed_origin_may_call_it(port):
    for origin in (f"http://127.0.0.1:{port}", "https://notebook.example"):
        assert ask(port, "POST", body=SMALL, origin=origin)[0] == 201


def test_an_allowed_origins_page_is_shown_the_answers_and_told_what_it_may_send(port):
    allowed = "https://notebook.example"
    _, headers, _ = ask(port, origin=allowed)
    assert headers["access-control-allow-origin"] == allowed
    asked = {"origin": allowed, "access_control_request_method": "POST"}
    status, headers, _ = ask(port, "OPTIONS", **asked, access_control_request_headers="authorization,content-type")
    assert (status, headers["access-control-allow-origin"]) == (200, allowed)
    assert "authorization" in headers["access-control-allow-headers"]
    _, headers, _ = ask(port, "OPTIONS", **(asked | {"origin": "https://evil.example"}))
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://notebook.example.evil", "http://["]
)
def test_a_page_of_another_origin_may_not(port, origin):
    for method, body in (("POST", SMALL), ("GET", None)):
        status, _, text = ask(port, method, body=body, origin=origin)
        assert status == 403
        assert "NORMLAB_ALLOWED_ORIGINS" in json.loads(text)["detail"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""]
)
def test_a_body_is_json_and_says_so(port, kind):
    status, _, text = ask(port, "POST", body=SMALL, content_type=kind)
    assert status == 415
    assert "content-type: application/json" in json.loads(text)["detail"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ["{}", '{"a": "\u2200", "name": ' + "[" * 300 + "]" * 300 + "}", '{"seed": ' + "9" * 5000 + "}"],
    ids=["small", "deep", "long number"],
)  # fmt: skip
def test_a_body_of_another_encoding_than_utf_8_is_refused_whatever_is_in_it(port, encoding, text):
    status, _, answer = ask(port, "POST", body=text.encode(encoding))
    assert status == 422
    assert json.loads(answer)["detail"] == f"body: expected JSON in UTF-8; got what looks like {encoding[:6].upper()}"


def test_a_body_that_is_no_unicode_is_refused_with_the_place(port):
    for body in (b'{"name": "\xe9"}', b'{"name": "\xed\xa0\x80"}'):
        status, _, answer = ask(port, "POST", body=body)
        assert (status, json.loads(answer)["detail"]) == (422, "body: expected JSON in UTF-8; got other bytes at 10")


def test_a_byte_order_mark_of_utf_8_and_text_beyond_ascii_are_taken(port):
    assert ask(port, "POST", body='{"dataset": "digits", "name": "\u2200\U0001f4a9"}'.encode("utf-8-sig"))[0] == 201


def test_a_compressed_body_is_refused_before_it_is_read(port):
    assert ask(port, "POST", body=SMALL, content_encoding="gzip")[0] == 415


def test_a_body_is_counted_as_it_arrives_whatever_it_says_of_its_length(port):
    chunk = b" " * 100_000

    def spaces(count):
        yield from [chunk] * count
        yield SMALL

    assert ask(port, "POST", body=spaces(9))[0] == 201
    assert ask(port, "POST", body=spaces(10))[0] == 413
    assert ask(port, "POST", body=b" " * 1_000_001)[0] == 413


def test_a_body_that_is_cut_off_harms_nothing(port):
    with socket.create_connection(("127.0.0.1", port)) as cut:
        head = [
            "POST /experiments HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            "Content-Length: 500",
        ]
        cut.sendall("\r\n".join([*head, "", "{"]).encode())
    assert ask(port, path="/livez")[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_may_ask_for_the_head_alone(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as probe:
        probe.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with probe.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


@pytest.mark.parametrize("path", ["/experiments", "/experiments/999", "/livez", "/docs", "/openapi.json", "/nothing"])
def test_every_answer_tells_browsers_to_run_nothing_and_guess_nothing(port, path):
    _, headers, _ = ask(port, path=path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert ("script-src" in policy) == (path == "/docs")
