"""What a request's body must be: of our size, in time, JSON in UTF-8, and of sensible depth and numbers."""

import asyncio
import json
import re

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem

MAX_BODY_BYTES = 1_000_000  # bytes
BODY_SECONDS = 30.0  # in which it must arrive
MAX_DEPTH = 32  # lists and objects within each other; a spec has four
MAX_ITEMS = 10_000  # of all lists and objects together; the largest network has some 2,000
MAX_NUMBER_LENGTH = 40  # characters; a float's own digits and exponent take at most 24

# One that never ends is taken to the body's end: to look for the end again from each quote would take for ever.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_LONG_NUMBER = re.compile(rb"[0-9.eE+-]{%d}" % (MAX_NUMBER_LENGTH + 1))


class RequestBody:
    """An ASGI application around ours, which gets every body whole or not at all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, with a problem document, or pass on."""
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
            await self._app(scope, _handed_on(body, receive), send)


def too_large() -> Response:
    """The refusal of a body that is, or says it is."""
    return problem(413, f"a body may have {MAX_BODY_BYTES:,} bytes")


async def _read(receive: Receive, content_type: str) -> bytes | Response:
    """The body, or why it is refused. Raises ClientDisconnect if the rest of it never comes."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _whole(receive)
    except TimeoutError:
        return problem(408, f"a body must arrive within {BODY_SECONDS:.0f} seconds")
    if len(body) > MAX_BODY_BYTES:
        return too_large()
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        came = content_type[:100] or "none"
        return problem(415, f"expected JSON, with the header content-type: application/json; got {came}")
    return _of_another_encoding(body) or _out_of_bounds(body) or body


def _handed_on(body: bytes, receive: Receive) -> Receive:
    """The body once, then what else comes: that the client goes away."""
    given = False

    async def hand_on() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return hand_on


async def _whole(receive: Receive) -> bytes:
    """All of it, or as much as shows that it is too large. Raises ClientDisconnect."""
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


def _of_another_encoding(body: bytes) -> Response | None:
    """A parser guesses at UTF-16 and UTF-32, in whose bytes no bracket or digit is where we look for it. Their ASCII is
    UTF-8 too, with a NUL beside each character; so both are asked, the parser's guess and whether it decodes.
    """
    guess = json.detect_encoding(body)
    if not guess.startswith("utf-8"):
        return problem(422, f"body: expected JSON in UTF-8; got what looks like {guess[:6].upper()}")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return problem(422, f"body: expected JSON in UTF-8; got other bytes at {error.start}")
    return None


def _out_of_bounds(body: bytes) -> Response | None:
    """A parser meets depth and digits before any check of ours could, so they are looked at in the bytes."""
    bare = _STRING.sub(b"", body)
    depth = 0
    for bracket in _BRACKET.finditer(bare):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            return problem(422, f"body: expected JSON at most {MAX_DEPTH} lists and objects deep; got a deeper one")
    if bare.count(b",") >= MAX_ITEMS:
        return problem(422, f"body: expected at most {MAX_ITEMS:,} items of lists and objects; got more")
    if _LONG_NUMBER.search(bare):
        return problem(422, f"body: expected numbers of at most {MAX_NUMBER_LENGTH} characters; got a longer one")
    return None
