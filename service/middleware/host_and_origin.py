"""Checks of a request's Host, Origin, Content-Encoding and Content-Length, and the security headers of every response.

Every web page that a user opens can send requests to a service on loopback. So the Host must be one of the service's
own names, because a page could let its own name resolve to this address (DNS rebinding). And the Origin, which a
browser adds to a page's request, must be the service's own or an allowed one.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import problem
from service.middleware.request_body import MAX_BODY_BYTES, body_too_large

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    # An SVG that is opened as a page may have styles. No response may run a script.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
# The documentation page loads the scripts and styles of this service alone. Swagger UI's styles hold their icons.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)

ON_ALL = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
ON_DOCS = [(name, DOCS_POLICY.encode() if name == b"content-security-policy" else value) for name, value in ON_ALL]


class HostAndOrigin:
    """An ASGI middleware that checks a request by its headers alone.

    hosts: the accepted names in a Host, without ports. origins: other pages that may send requests.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app, self._hosts, self._origins = app, frozenset(hosts), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with a problem document, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send_secured = _with_headers(send, docs=scope["path"] == "/docs")
        refusal = self._refusal(Headers(scope=scope))
        await (self._app if refusal is None else refusal)(scope, receive, send_secured)

    def _refusal(self, headers: Headers) -> Response | None:
        """Return the response that refuses the request, or None."""
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return problem(421, f"unknown Host {host[:100]!r}; NORMLAB_ALLOWED_HOSTS adds names")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host and origin not in self._origins:
            return problem(
                403, f"pages of {origin[:100]!r} may not send requests; NORMLAB_ALLOWED_ORIGINS adds origins"
            )
        if "content-encoding" in headers:
            return problem(415, "expected a body without a Content-Encoding")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 20 or int(length) > MAX_BODY_BYTES:
            return body_too_large()
        return None


def _name(host: str) -> str:
    """Return a Host without its port, in lower case. An IPv6 address keeps its brackets."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0].lower()


def _with_headers(send: Send, *, docs: bool) -> Send:
    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *(ON_DOCS if docs else ON_ALL)]
        await send(message)

    return send_secured
