"""How a figure is answered: drawn only if the client does not have it, and few at a time."""

import hashlib
import threading
from collections.abc import Callable
from importlib.metadata import version

from fastapi import Request
from fastapi.responses import Response

MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "gif": "image/gif"}
SOFTWARE = tuple(version(package) for package in ("normlab", "matplotlib", "pillow"))

_drawing = threading.BoundedSemaphore(2)  # drawing is work for the processor; more at once would only wait for it


def figure_answer(
    request: Request, draw: Callable[[], bytes], *, suffix: str, state: tuple[object, ...], immutable: bool
) -> Response:
    """The figure, or 304 if the client's ETag says it has it.

    state: all that the figure depends on beside the software and the request's address; so the tag is known undrawn.
    """
    everything = repr((SOFTWARE, request.url.path, sorted(request.query_params.multi_items()), state))
    etag = f'"{hashlib.sha256(everything.encode()).hexdigest()[:32]}"'
    caching = "private, max-age=31536000, immutable" if immutable else "private, no-cache"
    headers = {"etag": etag, "cache-control": caching}
    had = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in had or "*" in had:
        return Response(status_code=304, headers=headers)
    with _drawing, request.app.state.metrics.render_seconds.labels(suffix).time():
        return Response(draw(), media_type=MEDIA_TYPES[suffix], headers=headers)
