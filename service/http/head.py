"""HEAD: wherever a route answers GET it answers HEAD too, with the same status and headers and without a body."""

from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

_IS_HEAD = "normlab.is_head"


class HeadRoute(APIRoute):
    """A route that handles HEAD as GET. The server leaves out the body.

    HEAD is not one of the route's methods, because FastAPI would document it as an operation of its own.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a HEAD where a GET matches."""
        return super().matches(_as_get(scope))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a HEAD as a GET that `is_head` tells from one."""
        await super().handle(_as_get(scope), receive, send)


def is_head(request: Request) -> bool:
    """Return whether the request is a HEAD. Its method is GET within a route."""
    return _IS_HEAD in request.scope


def _as_get(scope: Scope) -> Scope:
    if scope.get("method") != "HEAD":
        return scope
    as_get: dict[str, Any] = {**scope, "method": "GET", _IS_HEAD: True}
    return as_get
