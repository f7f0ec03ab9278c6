"""Authentication: the API key of a request, its scope, and its rate limit."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from normlab.store import api_keys
from normlab.store.api_keys import KeyScope
from normlab.store.database import DATABASE_ERRORS, Database
from service.http.problems import database_unavailable, problem
from service.middleware.token_bucket import TokenBuckets

BURST_SECONDS = 2.0  # a full token bucket holds the requests of so many seconds


@dataclass(frozen=True)
class Caller:
    """Who sends a request. api_key: the id of its API key, or "". key_scope: None if it may use open routes alone."""

    api_key: str
    key_scope: KeyScope | None


UNRESTRICTED = Caller("", "write")  # where no API key is required
ANONYMOUS = Caller("", None)


def api_key_required() -> Response:
    """Return the 401 for a request without an API key where one is required."""
    refusal = problem(401, "API key required: send 'Authorization: Bearer normlab_…'")
    refusal.headers["www-authenticate"] = "Bearer"
    return refusal


class Authentication:
    """An ASGI middleware that sets `api_key` and `key_scope` in the request's state.

    key_needed: whether an API key is required. Where it is not, everybody may do everything, as on one's own machine.
    """

    def __init__(self, app: ASGIApp, *, database: Database, key_needed: bool, requests_per_second: float) -> None:
        self._app, self._database, self._rate = app, database, requests_per_second
        self._without_key = ANONYMOUS if key_needed else UNRESTRICTED
        self._buckets = TokenBuckets(rate=requests_per_second, capacity=requests_per_second * BURST_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Return 401 to an invalid API key and 429 to one whose token bucket is empty. Pass every other request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        authorization = headers.get("authorization")
        caller: Caller | Response = self._without_key
        if authorization is not None:
            caller = await self._authenticate(authorization)
        # The open routes take no body, so the service does not wait for the body of a request without a key.
        if caller == ANONYMOUS and (scope["method"] not in ("GET", "HEAD") or _announces_body(headers)):
            caller = api_key_required()
        if isinstance(caller, Response):
            await caller(scope, receive, send)
            return
        scope.setdefault("state", {}).update(vars(caller))
        await self._app(scope, receive, send)

    async def _authenticate(self, authorization: str) -> Caller | Response:
        """Return the caller, or the response that refuses it."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return api_key_required()
        try:
            caller = await run_in_threadpool(self._find, key.strip())
        except DATABASE_ERRORS as error:
            return database_unavailable(error, self._database)
        if caller is None:
            refusal = problem(401, "Invalid or revoked API key")
            refusal.headers["www-authenticate"] = 'Bearer error="invalid_token"'
            return refusal
        if (seconds := self._buckets.take(caller.api_key)) > 0:
            limit = f"{self._rate:g} a second (NORMLAB_REQUESTS_PER_SECOND)"
            refusal = problem(429, f"too many requests: an API key may make {limit}")
            refusal.headers["retry-after"] = str(int(seconds) + 1)
            return refusal
        return caller

    def _find(self, key: str) -> Caller | None:
        with self._database.reading() as session:
            known = api_keys.authenticate(session, key)
        return None if known is None else Caller(*known)


def _announces_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
