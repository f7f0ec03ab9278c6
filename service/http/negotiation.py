"""Content negotiation (RFC 9110, 12.5): which media type or content coding a request accepts.

A route offers the media types that it documents. If a suffix or the parameter `format` of the address fixes the media
type, Accept is not read.

Parameters of a media type are not compared, because no media type here has variants that differ by them.
"""

import re
from collections.abc import Iterator, Sequence

from fastapi import HTTPException, Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute

_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def offered_by(route: APIRoute) -> tuple[str, ...]:
    """Return the media types of a route's response, the default first; none where the address fixes it."""
    response_class = route.response_class
    if isinstance(response_class, DefaultPlaceholder):
        response_class = response_class.value
    if route.status_code == 204 or response_class.media_type is None:
        return ()
    return tuple(dict.fromkeys([response_class.media_type, *route.responses.get(200, {}).get("content", {})]))


def negotiate(request: Request, offered: Sequence[str]) -> bool:
    """Set `media_type` in the request's state, and return whether the header Accept was read for it.

    Raises HTTPException 406 if it accepts none of the offered media types.
    """
    if not offered or "format" in request.query_params:
        return False
    accept = ",".join(request.headers.getlist("accept"))
    request.state.media_type = preferred(accept, offered)
    if request.state.media_type is None:
        there_is = " and ".join(offered)
        raise HTTPException(
            406, f"Accept: {request.url.path} has {there_is}; got {accept[:100]!r}", headers={"vary": "Accept"}
        )
    return True


def with_vary(response: Response, negotiated: bool) -> Response:
    """Return the response, with Vary if the header Accept was read for it."""
    if negotiated:
        response.headers.add_vary_header("Accept")
    return response


def preferred(accept: str, offered: Sequence[str]) -> str | None:
    """Return the offered media type that the header Accept prefers, or None if it accepts none of them.

    The most specific range that matches a media type gives its weight. Among equal weights a media type that is named
    precedes one that a wildcard covers, then the one that is named first, then the one that is offered first. A header
    without a valid range accepts everything.
    """
    ranges = [(name, weight) for name, weight in _weighted(accept) if _is_range(name)]
    if not ranges:
        return offered[0]
    ratings = {media_type: _rating(media_type, ranges) for media_type in offered}
    best = max(offered, key=ratings.__getitem__)
    return best if ratings[best][0] > 0 else None


def accepts_coding(accept_encoding: str, coding: str) -> bool:
    """Return whether the header Accept-Encoding names the coding, or `*`, with a weight above 0."""
    weights = dict(_weighted(accept_encoding))
    return weights.get(coding, weights.get("*", 0.0)) > 0


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    """Yield each item of a list and its weight, 0 to 1. An item with an invalid weight is left out."""
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
        if name and _WEIGHT.fullmatch(weight):
            yield name, float(weight)


def _is_range(name: str) -> bool:
    kind, slash, subtype = name.partition("/")
    return bool(kind and slash and subtype) and (kind != "*" or subtype == "*")


def _rating(media_type: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int, int]:
    """Return the weight of a media type, how specific the range is that gives it, and minus that range's position."""
    covering = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    for specificity, name in zip((2, 1, 0), covering, strict=True):
        for position, (range_name, weight) in enumerate(ranges):
            if range_name == name:
                return weight, specificity, -position
    return 0.0, -1, 0
