"""The addresses of the service: which methods an address has, and which one a mistyped address may have meant."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

MAX_COMPARED = 200  # characters of an address that is compared; comparing takes quadratic time
SIMILARITY = 0.75  # 0 to 1
_PARAMETER = re.compile(r"\{.*\}")


class Addresses:
    """The addresses of all routes."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, APIRoute)]

    def methods_at(self, path: str) -> list[str]:
        """Return the methods that the address has, sorted."""
        methods = {method for route in self._routes if route.path_regex.match(path) for method in route.methods or ()}
        return sorted(methods | ({"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"}))

    def closest_to(self, path: str) -> str | None:
        """Return the address that is most like this one, which none has, or None if none is like it."""
        if len(path) > MAX_COMPARED:
            return None
        parts = path.strip("/").split("/")
        named = [route for route in self._routes if route.include_in_schema or not route.param_convertors]
        filled = [(route, _filled(route.path_format, parts)) for route in named]
        known = [address for route, address in filled if address and route.path_regex.match(address)]
        return next(iter(get_close_matches(path, known, n=1, cutoff=SIMILARITY)), None)


def _filled(template: str, parts: list[str]) -> str | None:
    """Return a route's address with these parts in place of its parameters, or None if it has not as many parts."""
    names = template.strip("/").split("/")
    if len(names) != len(parts):
        return None
    return "/" + "/".join(part if _PARAMETER.fullmatch(name) else name for name, part in zip(names, parts, strict=True))
