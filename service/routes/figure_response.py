"""The response with a figure. Its records are read and it is rendered only if the client does not have it already."""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from service.render_pool import RenderFailed, RenderQueueFull

MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "gif": "image/gif"}
IMAGES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}},
    304: {"description": "The client has this figure: its If-None-Match names the figure's ETag."},
}
SOFTWARE = tuple(version(package) for package in ("normlab", "matplotlib", "pillow"))

Figure = Callable[[], bytes]  # picklable, since another process calls it


async def figure_response(
    request: Request, read: Callable[[], Figure], *, suffix: str, state: tuple[object, ...]
) -> Response:
    """Return the figure, or 304 if the request's If-None-Match names its ETag.

    read: reads the records and returns the figure. state: everything that the figure depends on, apart from the
    software and the request's address. The ETag is a hash of these, so it is known before the figure is rendered.
    """
    everything = repr((SOFTWARE, request.url.path, sorted(request.query_params.multi_items()), state))
    etag = f'"{hashlib.sha256(everything.encode()).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}  # a figure shows the name, which can always change
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    figure = await run_in_threadpool(read)
    with request.app.state.metrics.render_seconds.labels(suffix).time():
        content = await _rendered(request, figure)
    return Response(content, media_type=MEDIA_TYPES[suffix], headers=headers)


async def _rendered(request: Request, figure: Figure) -> bytes:
    """Return the image. Raises HTTPException 503 if it cannot be rendered now."""
    try:
        content: bytes = await request.app.state.render_pool.render(figure)
    except RenderQueueFull:
        raise HTTPException(
            503, "many figures are waiting to be rendered; try again soon", {"retry-after": "5"}
        ) from None
    except RenderFailed:
        raise HTTPException(
            503,
            "rendering exceeded its time or memory limit; request a still, or axis=fixed",
            {"retry-after": "60"},
        ) from None
    return content
