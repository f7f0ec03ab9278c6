"""The head of a request: what it must be before anything of ours looks at it, and what answers tell a browser.

A service on loopback is still reached by every web page that its user opens. So the Host must be a name of ours, or a
page could point its own name here (DNS rebinding); and a request that a page makes must come from a page of ours.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.middleware.request_body import MAX_BODY_BYTES, too_large
from service.problems import problem

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

ON_ALL = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
ON_DOCS = [(name, DOCS_POLICY.encode() if name == b"content-security-policy" else value) for name, value in ON_ALL]


class HostAndOrigin:
    """An ASGI application around ours. hosts: names it answers to, without ports; origins: pages that may call it."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app, self._hosts, self._origins = app, frozenset(hosts), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, with a problem document, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send, docs=scope["path"] == "/docs")
        refusal = self._refusal(Headers(scope=scope))
        await (self._app if refusal is None else refusal)(scope, receive, guarded)

    def _refusal(self, headers: Headers) -> Response | None:
        """What its head says that is wrong."""
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return problem(421, f"this service does not answer to {host[:100]!r}; NORMLAB_ALLOWED_HOSTS adds names")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host and origin not in self._origins:
            return problem(403, f"pages of {origin[:100]!r} may not call this; NORMLAB_ALLOWED_ORIGINS adds some")
        if "content-encoding" in headers:
            return problem(415, "a body is expected as it is, without a Content-Encoding")
        length = headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 20 or int(length) > MAX_BODY_BYTES:
            return too_large()
        return None


def _name(host: str) -> str:
    """Without its port; [::1] in its brackets."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0].lower()


def _with_headers(send: Send, *, docs: bool) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *(ON_DOCS if docs else ON_ALL)]
        await send(message)

    return guarded
