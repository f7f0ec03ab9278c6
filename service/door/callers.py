"""Who calls: the key of a request, and how many requests it may make in a second."""

import time

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from service.errors import database_away, problem
from service.experiments import keys
from service.experiments.database import NO_ANSWER, Database
from service.experiments.keys import Scope

BURST_SECONDS = 2.0  # of requests that a key may make at once


def key_needed() -> Response:
    """What is answered to who shows no key where one is needed."""
    refusal = problem(401, "a key is needed: Authorization: Bearer normlab_…")
    refusal.headers["www-authenticate"] = "Bearer"
    return refusal


class Callers:
    """An ASGI application around ours, which leaves `key_scope` in the request's state.

    key_needed: without a key nobody is let in; otherwise everybody may do everything, as on one's own machine.
    """

    def __init__(self, app: ASGIApp, *, database: Database, key_needed: bool, requests_per_second: float) -> None:
        self._app, self._database, self._key_needed = app, database, key_needed
        self._rate = requests_per_second
        self._buckets: dict[str, tuple[float, float]] = {}  # by key: how many requests were left, and when

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Answer 401 to a key that is not good, 429 to one that asks too often."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("authorization")
        came = (None if self._key_needed else "write") if given is None else await self._scope_of(given)
        # What is open takes no body, so none is waited for.
        if came is None and (scope["method"] not in ("GET", "HEAD") or _announces_body(headers)):
            came = key_needed()
        if isinstance(came, Response):
            await came(scope, receive, send)
            return
        scope.setdefault("state", {})["key_scope"] = came
        await self._app(scope, receive, send)

    async def _scope_of(self, given: str) -> Scope | Response:
        """What the key may do, or why it may nothing."""
        kind, _, key = given.partition(" ")
        try:
            found = await run_in_threadpool(self._known, key.strip()) if kind.lower() == "bearer" else None
        except NO_ANSWER as away:
            return database_away(away)
        if found is None:
            refusal = problem(401, "this key is not known, or was revoked")
            refusal.headers["www-authenticate"] = 'Bearer error="invalid_token"'
            return refusal
        key_id, key_scope = found
        if (seconds := self._seconds_until_allowed(key_id)) > 0:
            refusal = problem(429, f"a key may make {self._rate:g} requests a second")
            refusal.headers["retry-after"] = str(int(seconds) + 1)
            return refusal
        return key_scope

    def _known(self, key: str) -> tuple[str, Scope] | None:
        with self._database.reading() as session:
            return keys.known(session, key)

    def _seconds_until_allowed(self, key_id: str) -> float:
        """A bucket that fills at the rate and holds a burst; each request takes one out."""
        now, most = time.monotonic(), max(1.0, self._rate * BURST_SECONDS)
        left, then = self._buckets.get(key_id, (most, now))
        left = min(most, left + (now - then) * self._rate)
        if left < 1:
            return (1 - left) / self._rate
        self._buckets[key_id] = (left - 1, now)
        return 0.0


def _announces_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
