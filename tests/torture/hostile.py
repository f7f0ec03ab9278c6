"""Requests that no client of good will sends, made by hand: each a name, its pieces, and if it must be answered."""

import json
from urllib.parse import quote, quote_from_bytes

from normlab.spec.experiment import ExperimentSpec

# What has broken somebody's parser, query, page, figure or log; the spec takes some of it as a name.
INJECTIONS = (
    "' OR '1'='1", "1; DROP TABLE experiments; --", "' UNION SELECT secret_sha256 FROM api_keys --", "%' ESCAPE '",
    "<script>alert(1)</script>", "</text><script>alert(1)</script>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc'>]>&e;",
    r"$\frac{1}{$", "$$", "$", r"$x^{y^{z}}_{$", r"\input{/etc/passwd}", "$" * 120, r"$\unknown{x}$", "a$b$c$",
    "%s%n%d%x", "{0.__class__.__mro__}", "{}", "%(name)s", "${jndi:ldap://127.0.0.1/a}", "{{7*7}}", "`id`", "$(id)",
    "../../../../etc/passwd", "..\\..\\windows", "C:\\con", "/dev/zero", "file:///etc/passwd",
    "\u202egnp.exe", "\ufeff", "\u200b", "\U0001f4a9" * 50, "e\u0301" * 60, "\ufdfa" * 40, "\uffff", "\u2028",
    "=cmd|' /C calc'!A0", "a,b\"c", "null", "undefined", "NaN", "-0", "1e309", "0x7f", "1_000", "\u0661", "",
)  # fmt: skip
CONTROL = ("\x00", "a\x00b", "\x1b[31m", "\r\nSet-Cookie: a=b", "\x7f", "\x85", "\n", "\t")
NUMBERS = (
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "-0", "-0.0", "9" * 30, "9" * 5000, "-" + "9" * 19,
    "9223372036854775808", "2147483648", "1.0", "0.5", "1E2", "01", "0x10", "1_0", "true", "null", '"1"', "[]", "{}",
)  # fmt: skip
SURROGATES = (r"\ud800", r"\udfff", r"\ud800\ud800", r"a\udc00b", r"\ud83d", r"\u0000", r"\uffff")
OVERLONG = (
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\x9c",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80",
)
ONE = "/experiments/1"


def requests():
    """All of them, always in this order. What is no whole request, or may not be read to its end, is owed nothing."""
    for family in (
        request_lines, protocols, headers, hosts_and_origins, callers, framing, truncated, dripping, paths, queries,
        raw_bodies, encodings, numbers, texts, networks, conditionals, figures,
    ):  # fmt: skip
        for number, pieces in enumerate(family()):
            whole = [pieces] if isinstance(pieces, bytes) else pieces
            yield f"{family.__name__} {number}", whole, family not in OWED_NOTHING


def request(method="GET", path="/experiments", body=None, *lines):
    """A request's bytes, rightly framed; lines are headers as they are, a line of its own for each."""
    head = [
        f"{method} {path} HTTP/1.1".encode(),
        *(line if isinstance(line, bytes) else line.encode() for line in lines),
    ]
    if not any(line.lower().startswith(b"host") for line in head):
        head.append(b"Host: localhost")
    if body is not None:
        if not any(line.lower().startswith(b"content-type") for line in head):
            head.append(b"Content-Type: application/json")
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", b""]) + (body or b"")


def post(body, *lines):
    """An experiment that is posted; body: bytes, or text."""
    return request("POST", "/experiments", body if isinstance(body, bytes) else body.encode(), *lines)


def request_lines():
    """The first line is wrong, or of another time."""
    host = b"\r\nHost: localhost\r\n\r\n"
    for line in (
        b"", b" ", b"GET", b"GET ", b"GET /livez", b"GET  /livez HTTP/1.1", b"GET /livez  HTTP/1.1",
        b"GET /livez HTTP/1.1 ",
        b"GET\t/livez\tHTTP/1.1", b"get /livez HTTP/1.1", b"GET livez HTTP/1.1", b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /livez HTTP/1.2", b"GET /livez HTTP/9.9", b"GET /livez HTTP/11.1", b"GET /livez http/1.1",
        b"GET /livez HTTP/",
        b"GET /livez HTTP/1.1\x00", b"GET /li\x00vez HTTP/1.1", b"GET /li\nvez HTTP/1.1", b"GET /li\rvez HTTP/1.1",
        b"GET http://evil.example/livez HTTP/1.1", b"GET //evil.example/livez HTTP/1.1", b"GET ?a HTTP/1.1",
        b"GET /livez#a HTTP/1.1", b"GET /livez\\ HTTP/1.1", b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
        b"\xff\xfe HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1", b"GET /\xff HTTP/1.1", b"G\xc3\xa9T / HTTP/1.1", b"A" * 70_000 + b" / HTTP/1.1",
        b"FOO /livez HTTP/1.1", b"\r\n\r\nGET /livez HTTP/1.1", b"GET /livez HTTP/1.1\r",
        b"GET /livez?" + b"a=b&" * 20_000 + b" HTTP/1.1",
    ):  # fmt: skip
        yield line + host
    for method in (
        "TRACE", "CONNECT", "HEAD", "OPTIONS", "PUT", "PROPFIND", "MKCOL", "SUBSCRIBE", "PURGE", "SEARCH", "LINK",
        "SOURCE",
        "M-SEARCH", "QUERY", "PRI",
    ):  # fmt: skip
        for path in ("/livez", "/experiments", ONE, "/nothing"):
            yield request(method, path)
    yield request("CONNECT", "127.0.0.1:22")
    yield request("TRACE", "/experiments", b"{}")
    yield request("GET", "/experiments", b"{}")
    yield request("DELETE", "/experiments/999999", b"[")


def protocols():
    """Other protocols, and ways into them."""
    yield b"GET /livez\r\n"
    yield b"GET /livez HTTP/0.9\r\n\r\n"
    yield b"GET /livez HTTP/1.0\r\n\r\n"
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    yield b"GET /livez HTTP/2\r\nHost: localhost\r\n\r\n"
    yield b"GET /livez HTTP/3\r\nHost: localhost\r\n\r\n"
    yield bytes.fromhex("1603010200010001fc0303") + b"\x00" * 500  # a TLS handshake
    yield b"SSH-2.0-OpenSSH_9.9\r\n"
    yield b"EHLO localhost\r\n"
    yield b"*1\r\n$4\r\nPING\r\n"
    yield bytes.fromhex("000000210003000075736572")  # PostgreSQL's start
    yield b"\x00" * 4096
    yield b"\xff" * 65_536
    yield b"\r\n" * 10_000
    socket = ("Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    for path in ("/", "/livez", "/experiments", ONE):
        yield request("GET", path, None, "Upgrade: websocket", *socket)
    yield request("GET", "/livez", None, "Upgrade: websocket", *socket, "Host: evil.example")
    yield request("POST", "/experiments", b"{}", "Upgrade: websocket", *socket)
    yield request(
        "GET", "/livez", None, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"
    )
    yield request("GET", "/livez", None, "Upgrade: " + "a" * 10_000, "Connection: Upgrade")
    yield request("GET", "/livez", None, "Upgrade: websocket", *socket) + b"\x88\x80\x00\x00\x00\x00" + b"\xff" * 1000


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
    """For whom it is not, and from where it must not come."""
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


def callers():
    """Keys, of those who call and of idempotency."""
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


def framing():
    """Lengths that are not, chunks that are none, requests within requests."""
    hidden = b"DELETE /experiments/999999?force=true HTTP/1.1\r\nHost: localhost\r\n\r\n"
    start = b"POST /experiments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for length in (
        b"-1", b"+2", b"2, 2", b"2,3", b"0x2", b"2 2", b"", b"a", b"2.0", b"1e1", b"99999999999999999999999999",
        b"18446744073709551618",
        b"\xb2", b"1000001", b"999999999999", b" 2", b"2\t", b"00002", b"2;q=1",
    ):  # fmt: skip
        yield start + b"Content-Length: " + length + b"\r\n\r\n{}"
    yield start + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"
    yield start + b"Content-Length: 2\r\nContent-Length: 80\r\n\r\n{}" + hidden
    yield start + b"Content-Length: 0\r\n\r\n{}" + hidden
    yield start + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden
    yield start + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" + hidden
    for coding in (
        b"chunked, chunked", b"identity", b"identity, chunked", b"chunked, identity", b"xchunked", b"CHUNKED",
        b"chunked\x0b", b" chunked",
        b"gzip, chunked", b"\x00chunked", b"chunked;a=b", b"", b"x\r\nTransfer-Encoding: chunked",
        b"chunked\r\nTransfer-Encoding: x",
    ):  # fmt: skip
        yield start + b"Transfer-Encoding: " + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + hidden
    for chunks in (
        b"2\r\n{}\r\n0\r\n\r\n", b"2\n{}\n0\n\n", b"2;a=b\r\n{}\r\n0\r\n\r\n",
        b"2;" + b"a" * 70_000 + b"\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}X\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"3\r\n{}\r\n0\r\n\r\n", b"\r\n", b"g\r\n",
        b" 2\r\n{}\r\n0\r\n\r\n", b"2 \r\n{}\r\n0\r\n\r\n",
        b"00000000000000000002\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\nHost: evil.example\r\nContent-Length: 5\r\n\r\n",
        b"1\r\n{\r\n" * 100,
        b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
        b"fffff\r\n" + b" " * 0xFFFFF + b"\r\n0\r\n\r\n",
    ):  # fmt: skip
        yield start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    yield request() * 200
    yield post(b"{}") + request("GET", "/nothing") + hidden
    yield request("GET", "/livez") + b"garbage\r\n\r\n"


def truncated():
    """What ends before it is whole, in every part of it."""
    whole = post(b'{"dataset": "digits", "epochs": 5}', "Idempotency-Key: cut")
    for place in (1, 4, 10, 20, 26, 40, 60, 90, len(whole) - 35, len(whole) - 20, len(whole) - 1):
        yield whole[:place]
    yield post(b" " * 900_000)[:500_000]
    yield request("GET", "/experiments?limit=200")[:-2]
    yield request("GET", "/experiments?limit=200")[:-4] + b"\n\n"


def dripping():
    """A byte, or a line, at a time."""
    yield [bytes([one]) for one in request("GET", "/livez")]
    yield [
        line + b"\r\n"
        for line in request("GET", "/experiments", None, *(f"X-{n}: {n}" for n in range(40))).split(b"\r\n")[:-1]
    ]
    yield [bytes([one]) for one in post(b'{"dataset": "digits"}')]
    whole = post(b"{}")
    yield [whole[:-2], whole[-2:-1], b"", whole[-1:], b"\r\n", request("GET", "/livez")]


def paths():
    """Out of the tree, by every spelling of a dot, a slash and a name; and names of no experiment."""
    up = (
        "..",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "..%00",
        "%c0%ae%c0%ae",
        "%u002e%u002e",
        "....",
        "..;",
        "%ef%bc%8e%ef%bc%8e",
    )
    for dots in up:
        for slash in ("/", "%2f", "%5c", "\\", "%252f", "%c0%af"):
            yield request("GET", f"/experiments/{dots}{slash}{dots}{slash}etc{slash}passwd")
    for base in (
        "/experiments/{}",
        "/experiments/{}/metrics",
        "/experiments/1/plots/{}.png",
        "/plots/{}-accuracy.svg",
        "/experiments/1/plots/loss.{}",
    ):
        for part in (
            "0", "-1", "+1", "1.0", "1e0", "0x1", "01", "%31", "%EF%BC%91", "%D9%A1", "1%00", "1%20", "%201", "1_0",
            "2147483648", "9" * 19, "9" * 5000,
            "NaN", "null", "true", "%00", "%0d%0aSet-Cookie:a=b", "%ff", "%ed%a0%80", "%", "%zz", "%1", "*", "{}",
            "1;a=b", "1,2",
        ):  # fmt: skip
            yield request("GET", base.format(part))
    for text in (*INJECTIONS, *CONTROL):
        yield request("POST", f"/groups/{quote(text, safe='')}/pause")
    for raw in OVERLONG:
        yield request("GET", f"/experiments/{quote_from_bytes(raw)}")
        yield request("POST", f"/groups/{quote_from_bytes(raw)}/resume")
    for path in (
        "/groups/" + "a/" * 20_000 + "pause",
        "/" + "%2e/" * 20_000,
        "/experiments/" * 500,
        "/livez/",
        "//livez",
        "/./livez",
        "/experiments/1//plots",
    ):
        yield request("POST" if "pause" in path else "GET", path)


def queries():
    """Every parameter, with everything that none of them is."""
    wanted = {
        "/experiments": ("status", "normalization", "dataset", "tag", "group", "sort", "limit", "cursor", "fields"),
        f"{ONE}/layers": ("quantity", "layer", "epoch", "format"),
        f"{ONE}/histograms": ("quantity", "binning", "bins"),
        f"{ONE}/plots/weight_gradient.png": ("epoch", "axis", "scale"),
        "/plots/test-accuracy.png": ("experiments",),
    }
    odd = (
        *INJECTIONS, *CONTROL, *(number for number in NUMBERS if number.isprintable()), "id," * 5000, ",", ",,",
        "1," * 60, "1,1,1", "1,-1", "1, 2",
        "MQ", "MQ==", "LTE=", "AAAA", "====", "YWJj", "MTAwMDAwMDAwMDAwMDAwMDAwMDA=", "4pyT", "id,id,id", "id,nothing",
        "links.self",
    )  # fmt: skip
    for path, names in wanted.items():
        for name in names:
            for place, text in enumerate(odd):
                if place % len(wanted) == len(name) % len(wanted) or name in ("tag", "cursor", "fields", "experiments"):
                    yield request("GET", f"{path}?quantity=weight&{name}={quote(text, safe='')}")
        for name in names:
            for raw in OVERLONG[:3]:
                yield request("GET", f"{path}?{name}={quote_from_bytes(raw)}")
    for query in (
        "?",
        "&",
        "=",
        "%",
        "%zz=1",
        "a=%",
        "limit=1&limit=2",
        "limit[]=1",
        "limit%00=1",
        "&" * 10_000,
        "a;b=c",
        "\xff",
        "tag=a&" * 2000,
    ):
        yield request("GET", "/experiments?" + query)


def raw_bodies():
    """RequestBody that are no JSON, or hardly."""
    deep = 100_000
    for body in (
        b"", b" ", b"\x00", b"null", b"true", b"1", b'""', b"[]", b"[{}]", b"{", b"}", b"{}{}", b"{}x", b'{"a"}',
        b"{'a': 1}", b"{a: 1}", b"{,}", b'{"a":1,}',
        b"// a\n{}", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), "{}".encode("utf-32"), b'{"name": "\xff"}',
        b'{"name": "\xc0\xaf"}', b'{"name": "\xed\xa0\x80"}',
        b'{"name": "a\x00b"}', b'{"name": "\\x"}', b'{"name": "\\u12"}', b'{"name": "a\nb"}', b'{"\\ud800": 1}',
        b'{"a\x00": 1}', b'{"": 1}',
        b"[" * deep, b'{"a":' * deep, b"[" * 33 + b"]" * 33, b'{"network": ' + b"[" * 30 + b"]" * 30 + b"}",
        b'"' * deep, b'"\\' * deep, b'{"name": "' + b"\\" * deep,
        b'{"seed": 1, "seed": 2}', b'{"dataset": "digits", "dataset": "nothing"}',
        b'{"protocol": "standard", "protocol": "original"}', b'{"name": 1, "name": null}',
        b'{"__proto__": {"a": 1}}', b'{"constructor": 1}', b'{"__class__": "a"}', b'{"model_config": {}}',
        b'{"self": 1}', b'{"protocol": ["standard"]}',
        b'{"protocol": {"a": 1}}', b'{"dataset": ["digits"]}', b'{"dataset": {}}', b'{"' + b"a" * 100_000 + b'": 1}',
        b'{"tags": [' + b'"a",' * 50_000 + b'"a"]}',
        b'{"network": [' + b'{"kind":"relu"},' * 20_000 + b'{"kind":"relu"}]}',
        b"{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}", b" " * 999_990 + b"{}",
        b"<xml/>", b"a=b&c=d", b"--a\r\nContent-Disposition: form-data; name=b\r\n\r\nc\r\n--a--", b"\x80\x04K\x01.",
        b"PK\x03\x04", b"{}" + b"\x00" * 100,
    ):  # fmt: skip
        yield post(body)
        if len(body) < 1000:
            yield request("PATCH", ONE, body)


def encodings():
    """Bodies in what a parser takes for UTF-16 or UTF-32: in their bytes brackets, digits and quotes lie elsewhere."""
    bodies = (
        "{}", '{"dataset": "digits"}', '"', "[" * 300 + "]" * 300, '{"name": ' + "[" * 300 + "]" * 300 + "}",
        '{"a": "\u2200", "name": ' + "[" * 300 + "]" * 300 + "}",  # in the bytes of the sign for "all" is a quote
        '{"name": ' + '{"a":' * 300 + "1" + "}" * 301, "[" * 100_000, '{"seed": ' + "9" * 5000 + "}",
        '{"learning_rate": 1e' + "9" * 400 + "}", '{"tags": [' + "1," * 20_000 + "1]}", '{"name": "\U0001f4a9"}',
    )  # fmt: skip
    for body in bodies:
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"):
            yield post(body.encode(encoding))
            yield post(body.encode(encoding), f"Content-Type: application/json; charset={encoding}")
        yield post("\ufeff".encode("utf-16-le") + body.encode())
        yield post(body[:1].encode("utf-16-le") + body[1:].encode())
    for body in ('{"name": "\xe9"}', '{"name": "\u20ac"}'):
        for encoding in ("cp1252", "utf-7"):
            yield post(body.encode(encoding))
    yield post('{"name": "\ud83d"}'.encode("utf-8", "surrogatepass"))
    yield request("PATCH", ONE, '{"priority": 1}'.encode("utf-16"))


def numbers():
    """Every field, with numbers that are none."""
    for field in ExperimentSpec.model_fields:
        for number in NUMBERS:
            yield post(f'{{"dataset": "digits", "{field}": {number}}}')
    for number in NUMBERS:
        yield request("PATCH", ONE, f'{{"priority": {number}}}'.encode())


def texts():
    """Every field that is a text, with what texts do harm with; and every other one with some of it."""
    for field in ExperimentSpec.model_fields:
        harmful = INJECTIONS + CONTROL if field in ("name", "tags", "group", "folder", "device") else INJECTIONS[:3]
        for text in harmful:
            value = [text, text] if field in ("tags", "capture_quantities") else text
            yield post(json.dumps({"dataset": "folder" if field == "folder" else "digits", field: value}))
        for escape in SURROGATES:
            yield post(f'{{"{field}": "{escape}"}}')
    for escape in SURROGATES:
        yield post(f'{{"{escape}": 1}}')
        yield post(f'{{"tags": ["{escape}"], "group": "{escape}"}}')
        yield post(f'{{"network": [{{"kind": "{escape}", "{escape}": "{escape}"}}]}}')
        yield request("PATCH", ONE, f'{{"priority": "{escape}", "{escape}": 1}}'.encode())


def networks():
    """Lists of layers that do not fit, fit too well, or are no layers."""
    relu, end = {"kind": "relu"}, [{"kind": "global_average_pool"}, {"kind": "linear", "features": 10}]
    wide = {"kind": "convolution", "channels": 4096, "kernel_size": 31}
    for network in (
        [], [None], [1], ["relu"], [[]], [{}], [relu] * 200, [relu] * 201, end * 2,
        [{"kind": "linear", "features": 65_536}] * 200,
        [wide] * 199 + end, [wide, wide, *end],
        [{"kind": "convolution", "channels": 1, "padding": 64, "kernel_size": 1}] * 100 + end,
        [{"kind": "convolution", "channels": 4, "groups": 3}, *end], [{"kind": "add", "shortcut": 10**30}, *end],
        [{"kind": "add", "shortcut": 0}, *end],
        [{"kind": "relu", "input": -(2**63)}, *end], [{"kind": "relu", "input": 5}, *end],
        [relu] * 100 + [{"kind": "add", "shortcut": -1}] * 98 + end,
        [{"kind": "max_pool", "size": 64}, *end], [{"kind": "convolution", "channels": 1e300}],
        [{"kind": "convolution", "channels": 4, "padding": "SAME"}, *end],
        [{"kind": "convolution", "channels": 4, "padding": [1]}, *end],
        [{"kind": "convolution", "channels": 4, "padding": {"a": 1}}, *end],
        [{"kind": ["relu"]}], [{"kind": {"a": 1}}], [{"kind": None}], [{"kind": "relu", "kind ": 1}], {"kind": "relu"},
        "relu", [{"kind": "dropout", "rate": 1}, *end],
    ):  # fmt: skip
        for other in (
            {},
            {"image_size": 1},
            {"image_size": 1024, "batch_size": 65_536},
            {"normalization": "group", "group_count": 4096},
        ):
            yield post(json.dumps({"dataset": "digits", "network": network} | other))


def conditionals():
    """Ranges and entity tags beyond their grammar."""
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


def figures():
    """Drawings of experiments with harmful names, of which there is one for each injection that is a name."""
    for number in range(1, len(names()) + 1):
        yield request("GET", f"/experiments/{number}/plots/loss.svg")
        yield request("GET", f"/experiments/{number}/plots/weight_gradient.{'png' if number % 4 else 'gif'}")
    several = ",".join(map(str, range(1, len(names()) + 1)))
    yield request("GET", f"/plots/test-accuracy.svg?experiments={several}")
    yield request("GET", f"/plots/train-accuracy.png?experiments={several}")


def names():
    """The injections that the spec takes for a name."""
    return [text for text in INJECTIONS if text and len(text) <= 200 and "\uffff" not in text]


OWED_NOTHING = (request_lines, protocols, headers, framing, truncated)
