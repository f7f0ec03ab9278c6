"""How a figure is answered: read and drawn only if the client does not have it."""

import hashlib
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from service.render_pool import RenderQueueFull

MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "gif": "image/gif"}
IMAGES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}},
    304: {"description": "The client has it: its If-None-Match says so."},
}
SOFTWARE = tuple(version(package) for package in ("normlab", "matplotlib", "pillow"))

Figure = Callable[[], bytes]  # picklable: it is called in another process


async def figure_response(
    request: Request, read: Callable[[], Figure], *, suffix: str, state: tuple[object, ...], immutable: bool
) -> Response:
    """The figure, or 304 if the client's ETag says it has it.

    read: the records, into a figure to be drawn. state: all that the figure depends on beside the software and the
    request's address; so the tag is known undrawn.
    """
    everything = repr((SOFTWARE, request.url.path, sorted(request.query_params.multi_items()), state))
    etag = f'"{hashlib.sha256(everything.encode()).hexdigest()[:32]}"'
    caching = "private, max-age=31536000, immutable" if immutable else "private, no-cache"
    headers = {"etag": etag, "cache-control": caching}
    had = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in had or "*" in had:
        return Response(status_code=304, headers=headers)
    figure = await run_in_threadpool(read)
    with request.app.state.metrics.render_seconds.labels(suffix).time():
        try:
            content = await request.app.state.render_pool.draw(figure)
        except RenderQueueFull:
            raise HTTPException(503, "many figures are being drawn; ask again soon", {"retry-after": "5"}) from None
        except BrokenProcessPool:
            raise HTTPException(
                503, "the process that drew this was killed, for its time or memory; ask for a still, or axis=fixed",
                {"retry-after": "60"},
            ) from None  # fmt: skip
    return Response(content, media_type=MEDIA_TYPES[suffix], headers=headers)
