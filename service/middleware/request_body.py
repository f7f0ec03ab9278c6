"""The request body: read whole, within a size and a time, and refused unless it is JSON in UTF-8 of moderate depth."""

import asyncio
import json
import re

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import problem

MAX_BODY_BYTES = 1_000_000
BODY_TIMEOUT_SECONDS = 30.0  # in which the whole body must arrive
MAX_DEPTH = 32  # arrays and objects within each other; a spec has four
MAX_ITEMS = 10_000  # of all arrays and objects together; the largest network has about 2,000
MAX_NUMBER_LENGTH = 40  # characters; a float's own digits and exponent take at most 24

# An unterminated string matches to the end of the body. If it did not, the search would restart at each quote, which
# takes quadratic time.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_LONG_NUMBER = re.compile(rb"[0-9.eE+-]{%d}" % (MAX_NUMBER_LENGTH + 1))


class RequestBody:
    """An ASGI middleware. The application receives every body whole or not at all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with a problem document, or pass it on with its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive, Headers(scope=scope).get("content-type", ""))
        except ClientDisconnect:
            return
        if isinstance(body, Response):
            await body(scope, receive, send)
        else:
            await self._app(scope, _replay(body, receive), send)


def body_too_large() -> Response:
    """Return the 413 for a body that is, or is declared, too large."""
    return problem(413, f"expected a body of at most {MAX_BODY_BYTES:,} bytes")


async def _read(receive: Receive, content_type: str) -> bytes | Response:
    """Return the body, or why it is refused. Raises ClientDisconnect if the client disconnects before its end."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            body = await _receive_all(receive)
    except TimeoutError:
        return problem(408, f"expected the whole body within {BODY_TIMEOUT_SECONDS:.0f} seconds")
    if len(body) > MAX_BODY_BYTES:
        return body_too_large()
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        got = content_type[:100] or "none"
        return problem(415, f"expected JSON, with the header content-type: application/json; got {got}")
    return _refuse_other_encoding(body) or _refuse_out_of_bounds(body) or body


async def _receive_all(receive: Receive) -> bytes:
    """Return the whole body, or as much of it as shows that it is too large. Raises ClientDisconnect."""
    parts, size = [], 0
    while size <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            break
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once, and then what the server sends, such as a disconnect."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _refuse_other_encoding(body: bytes) -> Response | None:
    """Refuse a body that is not UTF-8.

    The parser also accepts UTF-16 and UTF-32, in which `_refuse_out_of_bounds` would not find brackets and digits.
    ASCII text in UTF-16 is valid UTF-8 with a NUL beside each character, so both are checked: the parser's guess of
    the encoding, and whether the body can be decoded.
    """
    guess = json.detect_encoding(body)
    if not guess.startswith("utf-8"):
        return problem(422, f"body: expected JSON in UTF-8; got what looks like {guess[:6].upper()}")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return problem(422, f"body: expected JSON in UTF-8; got other bytes at {error.start}")
    return None


def _refuse_out_of_bounds(body: bytes) -> Response | None:
    """Refuse deep, long or large JSON by its bytes, because the parser would build all of it before any other check."""
    without_strings = _STRING.sub(b"", body)
    depth = 0
    for bracket in _BRACKET.finditer(without_strings):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            return problem(422, f"body: expected JSON at most {MAX_DEPTH} arrays and objects deep; got a deeper one")
    if without_strings.count(b",") >= MAX_ITEMS:
        return problem(422, f"body: expected at most {MAX_ITEMS:,} items of arrays and objects; got more")
    if _LONG_NUMBER.search(without_strings):
        return problem(422, f"body: expected numbers of at most {MAX_NUMBER_LENGTH} characters; got a longer one")
    return None
