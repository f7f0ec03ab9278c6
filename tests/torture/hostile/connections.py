"""Hostile request lines, protocols, framing and timing."""

from tests.torture.hostile.parts import ONE, post, request


def request_lines():
    """Request lines that are wrong or of another protocol version."""
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
    """Other protocols, and upgrades to them."""
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
    yield bytes.fromhex("000000210003000075736572")  # the start message of PostgreSQL
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


def framing():
    """Wrong lengths, wrong chunks, and requests hidden in requests."""
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
    """Requests that end too early, at every part."""
    whole = post(b'{"dataset": "digits", "epochs": 5}', "Idempotency-Key: cut")
    for index in (1, 4, 10, 20, 26, 40, 60, 90, len(whole) - 35, len(whole) - 20, len(whole) - 1):
        yield whole[:index]
    yield post(b" " * 900_000)[:500_000]
    yield request("GET", "/experiments?limit=200")[:-2]
    yield request("GET", "/experiments?limit=200")[:-4] + b"\n\n"


def dripping():
    """Requests that come one byte or one line at a time."""
    yield [bytes([one]) for one in request("GET", "/livez")]
    yield [
        line + b"\r\n"
        for line in request("GET", "/experiments", None, *(f"X-{n}: {n}" for n in range(40))).split(b"\r\n")[:-1]
    ]
    yield [bytes([one]) for one in post(b'{"dataset": "digits"}')]
    whole = post(b"{}")
    yield [whole[:-2], whole[-2:-1], b"", whole[-1:], b"\r\n", request("GET", "/livez")]
