"""Who calls: the key of a request, and how many requests it may make in a second."""

import time

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from normlab.store import api_keys
from normlab.store.api_keys import KeyScope
from normlab.store.database import DATABASE_ERRORS, Database
from service.problems import database_away, problem

BURST_SECONDS = 2.0  # of requests that a key may make at once


def key_needed() -> Response:
    """What is answered to who shows no key where one is needed."""
    refusal = problem(401, "a key is needed: Authorization: Bearer normlab_…")
    refusal.headers["www-authenticate"] = "Bearer"
    return refusal


class Authentication:
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
        came = (None if self._key_needed else ("", "write")) if given is None else await self._key(given)
        # What is open takes no body, so none is waited for.
        if came is None and (scope["method"] not in ("GET", "HEAD") or _announces_body(headers)):
            came = key_needed()
        if isinstance(came, Response):
            await came(scope, receive, send)
            return
        key_id, key_scope = came or ("", None)
        scope.setdefault("state", {}).update(api_key=key_id, key_scope=key_scope)
        await self._app(scope, receive, send)

    async def _key(self, given: str) -> tuple[str, KeyScope] | Response:
        """What the key may do, or why it may nothing."""
        kind, _, key = given.partition(" ")
        try:
            found = await run_in_threadpool(self._known, key.strip()) if kind.lower() == "bearer" else None
        except DATABASE_ERRORS as away:
            return database_away(away)
        if found is None:
            refusal = problem(401, "this key is not known, or was revoked")
            refusal.headers["www-authenticate"] = 'Bearer error="invalid_token"'
            return refusal
        if (seconds := self._seconds_until_allowed(found[0])) > 0:
            refusal = problem(429, f"a key may make {self._rate:g} requests a second")
            refusal.headers["retry-after"] = str(int(seconds) + 1)
            return refusal
        return found

    def _known(self, key: str) -> tuple[str, KeyScope] | None:
        with self._database.reading() as session:
            return api_keys.authenticate(session, key)

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
