"""What a route needs of who calls it, and of the database. A route that does not say so is denied to everybody."""

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute

from normlab.store.api_keys import KeyScope
from service.middleware.authentication import key_needed
from service.problems import problem, problems

Need = Literal["nothing", "read", "write"]
Endpoint = TypeVar("Endpoint", bound=Callable[..., object])

GIVES: dict[KeyScope | None, tuple[Need, ...]] = {
    None: ("nothing",),
    "read": ("nothing", "read"),
    "write": ("nothing", "read", "write"),
}


def needs(need: Need, *, database: bool = True) -> Callable[[Endpoint], Endpoint]:
    """Mark a route's function: `nothing` is open to all who reach the service, `read` changes nothing.

    database: whether it waits until the database is ready; what needs nothing never does.
    """

    def marked(endpoint: Endpoint) -> Endpoint:
        endpoint.need = need  # type: ignore[attr-defined]
        endpoint.needs_database = database and need != "nothing"  # type: ignore[attr-defined]
        return endpoint

    return marked


class Guarded(APIRoute):
    """A route that looks at neither body nor parameters before who calls is admitted and what it needs is ready."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own, behind the guard."""
        handle = super().get_route_handler()
        need: Need | None = getattr(self.endpoint, "need", None)
        needs_database: bool = getattr(self.endpoint, "needs_database", True)

        async def guarded(request: Request) -> Response:
            if (refusal := _refusal(need, request)) is not None:
                return refusal
            if needs_database and (unready := await request.app.state.readiness.problem()) is not None:
                raise HTTPException(503, unready, headers={"retry-after": "5"})
            if need == "write" and not iscoroutinefunction(self.endpoint):
                async with request.app.state.writers:
                    return await handle(request)
            return await handle(request)

        return guarded


def routes(prefix: str = "", *, tag: str, may_answer: tuple[int, ...] = ()) -> APIRouter:
    """A router of guarded routes. may_answer: problems that each of them has beside the door's."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=Guarded, responses=problems(*may_answer))


def _refusal(need: Need | None, request: Request) -> Response | None:
    """401 without a key where one is needed, 403 with one that does not do."""
    given: KeyScope | None = request.scope["state"]["key_scope"]
    if need in GIVES[given]:
        return None
    if given is None and need is not None:
        return key_needed()
    return problem(403, f"this key may {given or 'do nothing'}; {request.method} here needs more")
