"""The request log: every request has an id and is timed; one that changes something or fails has a line in the log."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from normlab.process.logging import about
from service.http.problems import CLIENT_CLOSED
from service.prometheus import PrometheusMetrics

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,42}")  # an API key's secret has 43 characters, so none is logged as an id


class RequestLog:
    """An ASGI middleware. It keeps the caller's own X-Request-Id, if that is a valid one."""

    def __init__(self, app: ASGIApp, *, metrics: PrometheusMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and record its duration and status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), CLIENT_CLOSED
        own_id = Headers(scope=scope).get("x-request-id", "")
        request_id = own_id if _ID.fullmatch(own_id) else uuid.uuid4().hex

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        with about(request_id=request_id):
            try:
                await self._app(scope, receive, note_status)
            finally:
                self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The route, not the path: paths have no limited set of values, and a path may hold anything, even an API key.
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.request_seconds.labels(scope["method"], route, status).observe(seconds)
        if status >= 500 or scope["method"] not in ("GET", "HEAD"):
            extra: dict[str, float] = {"milliseconds": round(1000 * seconds, 1)}
            number = str(scope.get("path_params", {}).get("experiment_id", ""))
            if number.isascii() and number.isdigit():
                extra["experiment"] = int(number)
            log.info("%s %s: %d", scope["method"], route, status, extra=extra)
