"""The response to an error that nothing else handles. It is a problem document with the headers of every response."""

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import problem

log = logging.getLogger(__name__)


class UnhandledErrors:
    """An ASGI middleware. It is the innermost, so the others add their headers to its responses and count them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Return 500 for an error and 503 for a cancelled request. A response that has begun is aborted."""
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_begin)
        except asyncio.CancelledError:  # the service is stopping, and the time for open requests is over
            if begun or scope["type"] != "http":
                raise
            response = problem(503, "the service is stopping; try again when it has restarted")
            response.headers["retry-after"] = "5"
            await response(scope, receive, send)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            log.error("a request failed", exc_info=error)
            await problem(500, "internal error; the log of the service has the details")(scope, receive, send)
