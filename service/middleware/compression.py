"""Compression of responses with gzip, where the request accepts it (RFC 9110, 12.5.3).

Neither images in formats that are compressed already nor streams of events are compressed.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.negotiation import accepts_coding

MINIMUM_BYTES = 1000
LEVEL = 4  # of 9, which takes five times as long and makes records at most 12 % smaller
UNCOMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/pdf")


class Compression:
    """An ASGI middleware. It compresses as Starlette's does, and decides when by the weights of Accept-Encoding."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(
            app, minimum_size=MINIMUM_BYTES, compresslevel=LEVEL, exclude_content_types=UNCOMPRESSED
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and compress its response or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        accepted = ",".join(Headers(scope=scope).getlist("accept-encoding"))
        await (self._gzip if accepts_coding(accepted, "gzip") else self._app)(scope, receive, _with_vary(send))


def _with_vary(send: Send) -> Send:
    """Name Accept-Encoding in Vary, once, wherever the response depends on it."""

    async def send_with_vary(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            fields = [name.strip() for name in ",".join(headers.getlist("vary")).split(",")]
            if _may_be_compressed(message["status"], headers):
                fields.append("Accept-Encoding")
            if vary := ", ".join(dict.fromkeys(name for name in fields if name)):
                headers["vary"] = vary
        await send(message)

    return send_with_vary


def _may_be_compressed(status: int, headers: Headers) -> bool:
    if status == 304:  # it has no type. The tags of what may be compressed are weak
        return headers.get("etag", "").startswith("W/")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return bool(kind) and not {kind, f"{kind.partition('/')[0]}/*"} & set(UNCOMPRESSED)
