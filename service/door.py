"""The door: what a request must be before anything of ours looks at it, and what every answer tells a browser.

A service on loopback is still reached by every web page that its user opens. So the Host must be a name of ours, or a
page could point its own name here (DNS rebinding); and a request that a page makes must come from a page of ours.
"""

import asyncio
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import problem

LARGEST_BODY = 1_000_000  # bytes
BODY_SECONDS = 30.0  # in which it must arrive

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    # An SVG that is opened by itself may style itself; nothing of ours runs.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
# Swagger's page is FastAPI's own: a script and a style from this CDN, and one script in the page.
DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src https://cdn.jsdelivr.net; "
    "img-src data: https://fastapi.tiangolo.com; connect-src 'self'; frame-ancestors 'none'"
)


class Door:
    """An ASGI application around ours. hosts: names it answers to, without ports; origins: pages that may call it."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app, self._hosts, self._origins = app, frozenset(hosts), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, with a problem document, or pass on with the body whole."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send, docs=scope["path"] == "/docs")
        headers = Headers(scope=scope)
        refusal, body = self._refusal(headers), b""
        if refusal is None:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await _body(receive)
                refusal = _refused_body(body, headers.get("content-type", ""))
            except TimeoutError:
                refusal = problem(408, f"a body must arrive within {BODY_SECONDS:.0f} seconds")
            except ClientDisconnect:
                return
        if refusal is not None:
            await refusal(scope, receive, guarded)
        else:
            await self._app(scope, _handed_on(body, receive), guarded)

    def _refusal(self, headers: Headers) -> Response | None:
        """What is wrong with a request before its body."""
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return problem(421, f"this service does not answer to {host[:100]!r}; NORMLAB_ALLOWED_HOSTS adds names")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host and origin not in self._origins:
            return problem(403, f"pages of {origin[:100]!r} may not call this; NORMLAB_ALLOWED_ORIGINS adds some")
        if "content-encoding" in headers:
            return problem(415, "a body is expected as it is, without a Content-Encoding")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return _too_large()
        return None


def _name(host: str) -> str:
    """Without its port; [::1] in its brackets."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0].lower()


async def _body(receive: Receive) -> bytes:
    """All of it, or as much as shows that it is too large. Raises ClientDisconnect."""
    body = b""
    while len(body) <= LARGEST_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


def _refused_body(body: bytes, content_type: str) -> Response | None:
    if len(body) > LARGEST_BODY:
        return _too_large()
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        came = content_type[:100] or "none"
        return problem(415, f"expected JSON, with the header content-type: application/json; got {came}")
    return None


def _too_large() -> Response:
    return problem(413, f"a body may have {LARGEST_BODY:,} bytes")


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


def _with_headers(send: Send, *, docs: bool) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS | ({"content-security-policy": DOCS_POLICY} if docs else {}))
        await send(message)

    return guarded
