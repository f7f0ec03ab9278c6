"""The answer to an error that nothing else handles. It is a problem document and has the headers of all answers."""

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem

log = logging.getLogger(__name__)


class UnhandledErrors:
    """An ASGI middleware. It stands inside the others, so that they add their headers to its answers and count them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 500 to an error and 503 to a cancelled request. If an answer has begun, it can only break off."""
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
            answer = problem(503, "the service is stopping; try again when it has restarted")
            answer.headers["retry-after"] = "5"
            await answer(scope, receive, send)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            log.error("a request failed", exc_info=error)
            await problem(500, "internal error; the log of the service has the details")(scope, receive, send)
