"""What a route needs: a scope of the caller's API key, the database, and no parameters that it does not have.

A route without a declaration is closed.
"""

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response

from normlab.store.api_keys import KeyScope
from service.http.etags import validated
from service.http.head import HeadRoute
from service.http.negotiation import negotiate, offered_by, with_vary
from service.http.openapi import SCHEME
from service.http.problems import problem, problems
from service.http.query_parameters import check_parameters, parameters_of
from service.middleware.authentication import api_key_required

Need = Literal["nothing", "read", "write"]
Endpoint = TypeVar("Endpoint", bound=Callable[..., object])

ALLOWED: dict[KeyScope | None, tuple[Need, ...]] = {
    None: ("nothing",),
    "read": ("nothing", "read"),
    "write": ("nothing", "read", "write"),
}

# What the OpenAPI document says that a route needs: OpenAPI 3.1 lists scopes, or no scheme for an open route.
SECURITY: dict[Need | None, list[dict[str, list[str]]]] = {
    None: [{SCHEME: []}],
    "nothing": [],
    "read": [{SCHEME: ["read"]}],
    "write": [{SCHEME: ["write"]}],
}


def needs(need: Need, *, database: bool = True) -> Callable[[Endpoint], Endpoint]:
    """Declare what a route's function needs: `nothing` is open to everybody, and `read` changes nothing.

    database: whether the route returns 503 until the database is ready. A route that needs `nothing` never returns it.
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.need = need  # type: ignore[attr-defined]
        endpoint.needs_database = database and need != "nothing"  # type: ignore[attr-defined]
        return endpoint

    return declare


class GuardedRoute(HeadRoute):
    """A route that reads neither body nor parameters before its caller is authorized and its database is ready."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        security = {"security": SECURITY[getattr(endpoint, "need", None)]}
        super().__init__(path, endpoint, **options | {"openapi_extra": security | (options.get("openapi_extra") or {})})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, behind the checks. The response to a GET has an ETag, or is 304."""
        handle = super().get_route_handler()
        need: Need | None = getattr(self.endpoint, "need", None)
        needs_database: bool = getattr(self.endpoint, "needs_database", True)
        parameters = parameters_of(self.dependant)
        offered = offered_by(self)

        async def guarded(request: Request) -> Response:
            if (refusal := _refusal(need, request)) is not None:
                return refusal
            if needs_database and (unready := await request.app.state.readiness.problem()) is not None:
                raise HTTPException(503, unready, headers={"retry-after": "5"})
            check_parameters(parameters, request)
            negotiated = negotiate(request, offered)
            if need == "write" and not iscoroutinefunction(self.endpoint):
                async with request.app.state.writers:
                    return await handle(request)
            response = with_vary(await handle(request), negotiated)
            return validated(request, response) if request.method == "GET" else response

        return guarded


def guarded_router(prefix: str = "", *, tag: str, statuses: tuple[int, ...] = ()) -> APIRouter:
    """Return a router of guarded routes. statuses: those of the problem documents that each route may return."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=GuardedRoute, responses=problems(*statuses))


def _refusal(need: Need | None, request: Request) -> Response | None:
    """Return 401 without an API key where one is needed, 403 if the key's scope does not suffice."""
    scope: KeyScope | None = request.scope["state"]["key_scope"]
    if need in ALLOWED[scope]:
        return None
    if need is None:
        return problem(403, "this route does not declare which scope it needs, so it is closed")
    if scope is None:
        return api_key_required()
    wanted = f"{request.method} {request.url.path} needs an API key of scope {need!r}"
    return problem(403, f"{wanted}; this one has scope {scope!r}")
