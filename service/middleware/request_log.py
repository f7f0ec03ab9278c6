"""Every request has an id, is timed, and leaves a line in the log if it changed something or failed."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from normlab.process.logging import about
from service.prometheus import PrometheusMetrics

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,42}")  # a key's secret has 43, and is not logged as an id by mistake


class RequestLog:
    """An ASGI application around ours. A caller's own X-Request-Id is kept, if it is one."""

    def __init__(self, app: ASGIApp, *, metrics: PrometheusMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note what came of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # unless it is answered: the client went away
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        with about(request_id=request_id):
            try:
                await self._app(scope, receive, noted)
            finally:
                seconds = time.perf_counter() - began
                route = getattr(scope.get("route"), "path", "none")  # not the path: that has no end of values
                self._metrics.request_seconds.labels(scope["method"], route, status).observe(seconds)
                if status >= 500 or scope["method"] not in ("GET", "HEAD"):
                    # The route, for a path may hold anything, a key too; of it only an experiment's number.
                    number = str(scope.get("path_params", {}).get("experiment_id", ""))
                    which: dict[str, float] = (
                        {"experiment": int(number)} if number.isascii() and number.isdigit() else {}
                    )
                    log.info(
                        "%s %s: %d", scope["method"], route, status,
                        extra={"milliseconds": round(1000 * seconds, 1)} | which,
                    )  # fmt: skip
