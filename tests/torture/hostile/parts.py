"""Harmful texts, numbers and bytes, and how a request is built."""

# Texts that have broken parsers, queries, pages, figures or logs. The spec accepts some of them as a name.
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


def request(method="GET", path="/experiments", body=None, *lines):
    """Return the bytes of a correctly framed request. lines: headers, each as it is sent."""
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
    """Return the bytes of a request that posts an experiment. body: bytes or text."""
    return request("POST", "/experiments", body if isinstance(body, bytes) else body.encode(), *lines)


def names():
    """Return the injections that the spec accepts as a name."""
    return [text for text in INJECTIONS if text and len(text) <= 200 and "\uffff" not in text]
