"""Hostile headers: hosts, origins, keys, ranges and entity tags."""

from tests.torture.hostile.parts import INJECTIONS, ONE, post, request


def headers():
    """Names, values, sizes and numbers of headers."""
    for line in (
        b"NoColon", b": nothing", b"A B: c", b"A : b", b"A\x00: b", b"A: b\x00c", b"A: b\rc", b"A: b\nc", b" folded: a",
        b"A: b\r\n folded", b"A: b\r\n\tfolded", b"A: b\r\nSet-Cookie: c=d", b"\xc3\xa9: a", b"A: \xff\xfe", b"A: \x7f",
        b"A: " + b"b" * 100_000, b"A" * 70_000 + b": b", b"(): a", b"@: a", b"A:\x0bb", b"A:b" * 1000, b"",
        b"Transfer-Encoding : chunked", b"Cookie: " + b"a=b; " * 5000, b"Expect: 100-continue", b"Expect: 200-ok",
        b"Connection: close, close, keep-alive", b"Connection: host", b"Connection: content-length, transfer-encoding",
        b"Keep-Alive: timeout=999999999", b"X-Forwarded-For: 127.0.0.1, ' OR 1=1 --", b"X-Forwarded-Proto: gopher",
        b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example;proto=https",
        b"X-HTTP-Method-Override: DELETE",
        b"X-Original-URL: /experiments/1", b"X-Rewrite-URL: /metrics", b"Accept: " + b"text/csv," * 8000,
        b"Accept: \xff",
        b"Accept: */*;q=1e999", b"Accept-Encoding: gzip;q=\x01", b"Content-Encoding: gzip",
        b"Content-Encoding: identity",
        b"Content-Type: application/json; charset=utf-7", b"Content-Type: \xff", b"Content-Type: " + b"a" * 10_000,
        b"Range: bytes=0-", b"Range: bytes=" + b"0-," * 5000, b"Trailer: Host", b"TE: trailers, chunked",
        b"Via: " + b"a," * 9000,
        b"X-Request-Id: a\tb", b"X-Request-Id: " + b"a" * 65, b"X-Request-Id: ../../x", b"X-Request-Id: \xff",
        b"Date: tomorrow",
    ):  # fmt: skip
        yield b"GET /experiments HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n"
    yield request("GET", "/experiments", None, *(f"X-{number}: a" for number in range(10_000)))
    yield request("GET", "/experiments", None, *["X: a"] * 10_000)
    yield request("GET", "/experiments", None, "A: " + "b" * 5_000_000)
    for text in INJECTIONS[:20]:
        yield request(
            "GET", "/experiments", None, *(f"{name}: {text}" for name in ("User-Agent", "Referer", "Accept", "Cookie"))
        )
    for media in (
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=",
        "application/JSON ;;",
        "",
        "json",
    ):
        yield request("POST", "/experiments", b"{}", f"Content-Type: {media}")
    yield post(b"\x1f\x8b\x08\x00\x00", "Content-Encoding: gzip")
    yield post(b"{}", "Content-Type: text/plain", "Content-Type: application/json")


def hosts_and_origins():
    """Hosts that the service does not serve, and origins that it does not allow."""
    for host in (
        "", " ", "evil.example", "localhost.evil.example", "127.1", "0x7f.1", "[::1", "[::1]x", "]", "[]", "[", "::1",
        "localhost:",
        "localhost:99999999", "localhost:a", "localhost@evil.example", "localhost#", "localhost/", "localhost%00",
        "localhost,evil",
        "a" * 10_000, "*", "..", "\xff", "xn--", "LOCALHOST", "localhost.", "user:pass@localhost", "localhost\\evil",
        "[localhost]",
    ):  # fmt: skip
        yield request("GET", "/experiments?limit=1", None, f"Host: {host}".encode("latin-1"))
    yield request("GET", "/livez", None, "Host: localhost", "Host: evil.example")
    yield request("GET", "/livez", None, "Host: evil.example", "Host: localhost")
    yield request("GET", "/livez", None, "Host: localhost", "Host: localhost")
    yield b"GET /livez HTTP/1.1\r\n\r\n"
    yield b"GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n"
    for origin in (
        "null",
        "",
        "https://evil.example",
        "http://localhost.evil",
        "localhost",
        "http://[",
        "\xff",
        "a" * 9000,
        "http://localhost http://a",
    ):
        yield request("GET", "/experiments", None, f"Origin: {origin}".encode("latin-1"))
        yield request("POST", "/experiments", b"{}", f"Origin: {origin}".encode("latin-1"))
    yield request(
        "OPTIONS", "/experiments", None, "Origin: https://evil.example", "Access-Control-Request-Method: POST"
    )


def keys():
    """API keys and idempotency keys."""
    for given in (
        "", " ", "Bearer", "Bearer ", "bearer normlab_", "Bearer normlab__", "Bearer normlab_0_0",
        "Bearer normlab_00000000_" + "a" * 43,
        "Bearer normlab_' OR 1=1 --_a", "Bearer normlab_\xff_\xff", "Bearer \x01", "Bearer " + "a" * 100_000,
        "Bearer normlab_a_b_c_d",
        "Basic", "Basic AAAA", "Basic " + "=" * 9, "Digest username=a", "Negotiate", "Bearer a, Bearer b",
        "Bearer\tnormlab_a_b",
    ):  # fmt: skip
        yield request("GET", "/experiments", None, f"Authorization: {given}".encode("latin-1"))
        yield request("POST", "/experiments", b"{}", f"Authorization: {given}".encode("latin-1"))
    yield request("GET", "/livez", None, "Authorization: Bearer a", "Authorization: Bearer b")
    for key in (
        "",
        " ",
        "a" * 200,
        "a" * 201,
        "a" * 50_000,
        "\xff\xfe",
        "\xe9",
        "' OR 1=1 --",
        "%00",
        "\t",
        "a\x01b",
        "\x7f",
        "${a}",
        "a,b",
        '"a"',
    ):
        yield post(b"{}", f"Idempotency-Key: {key}".encode("latin-1"))
        yield post(b'{"dataset": "digits"}', f"Idempotency-Key: {key}".encode("latin-1"))
    yield post(b"{}", "Idempotency-Key: twice", "Idempotency-Key: thrice")


def conditionals():
    """Ranges and entity tags that do not follow the grammar."""
    for tag in (
        "*",
        '"',
        '""',
        "W/",
        'W/"' + "a" * 50_000 + '"',
        ",",
        ", " * 9000,
        "\xff",
        '"a", *',
        "a" * 100_000,
        '"\x01"',
    ):
        for path in (f"{ONE}/plots/loss.png", "/plots/test-accuracy.svg?experiments=1", "/experiments"):
            yield request("GET", path, None, f"If-None-Match: {tag}".encode("latin-1"))
    for span in (
        "bytes=0-0",
        "bytes=-1",
        "bytes=5-1",
        "bytes=0-18446744073709551616",
        "bytes=" + "0-0," * 9000,
        "lines=1",
        "bytes=a-b",
        "",
        "bytes=0-0,-1,1-",
    ):
        yield request("GET", f"{ONE}/plots/loss.svg", None, f"Range: {span}", 'If-Range: "a"')
    for name in ("If-Match", "If-Modified-Since", "If-Unmodified-Since"):
        for value in ("*", "Thu, 99 Foo 9999 99:99:99 GMT", "-1", "a" * 9000):
            yield request("GET", f"{ONE}/plots/loss.svg", None, f"{name}: {value}")
            yield request("DELETE", "/experiments/999999", None, f"{name}: {value}")
