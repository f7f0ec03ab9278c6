"""The response with a figure. Its records are read and it is rendered only if the client does not have it already."""

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import HTTPException, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from normlab.store.database import snapshot
from normlab.store.models import Experiment
from service.http.content_token import content_token
from service.http.etags import (
    ALWAYS_REVALIDATE,
    FOR_A_YEAR,
    digest_of,
    has_any,
    has_current,
    not_modified,
    strong,
    weak,
)
from service.http.head import is_head
from service.rendering.render_pool import Figure, RenderFailed, RenderQueueFull
from service.rendering.shared_tasks import unless_closed

MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "gif": "image/gif"}
IMAGES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}},
    304: {"description": "The client has this figure: its If-None-Match names the figure's ETag."},
}
COMPRESSED = ("svg",)  # the others are compressed formats already

Check = Callable[[Session], Sequence[Experiment]]  # the experiments that the figure shows, if it can be drawn
Read = Callable[[Session, Sequence[Experiment]], Figure]
Revision = Annotated[
    str | None,
    Query(
        description="Token of the content, as in the addresses that the service returns. The response may then be "
        "cached for ever. A token that is no longer current is 404.",
        max_length=64,
    ),
]


async def figure_response(
    request: Request, reading: sessionmaker[Session], check: Check, read: Read, *, suffix: str, revision: str | None
) -> Response:
    """Return the figure, or 304 if the request's If-None-Match names its ETag. Nothing is rendered for a HEAD.

    check and read: called in threads. What both read in one session is of one moment. revision: the token that the
    address carries.
    """

    def check_alone() -> Sequence[Experiment]:
        with reading() as session:
            return check(session)

    def check_and_read() -> tuple[Sequence[Experiment], Figure]:
        with snapshot(reading) as session:
            experiments = check(session)
            return experiments, read(session, experiments)

    headers = _headers(request, await run_in_threadpool(check_alone), suffix, revision)
    if has_current(request, headers["etag"]):
        return not_modified(headers)
    if is_head(request) or has_any(request):  # neither holds for a figure that cannot be drawn
        experiments, _ = await run_in_threadpool(check_and_read)
        headers = _headers(request, experiments, suffix, revision)
        return not_modified(headers) if has_any(request) else _without_body(headers, suffix)

    async def draw() -> tuple[Sequence[Experiment], bytes]:
        experiments: Sequence[Experiment] = ()

        def prepare() -> Figure:
            nonlocal experiments
            experiments, figure = check_and_read()
            return figure

        began = time.perf_counter()
        content = await _rendered(request, prepare)
        request.app.state.metrics.render_seconds.labels(suffix).observe(time.perf_counter() - began)
        return experiments, content

    shared = request.app.state.shared_tasks.run(headers["etag"], draw)
    experiments, content = await unless_closed(request, shared)
    # The experiments may have changed while the figure waited. Its headers describe what it shows.
    headers = _headers(request, experiments, suffix, revision)
    return Response(content, media_type=MEDIA_TYPES[suffix], headers=headers)


def with_revision(address: str, experiments: Sequence[Experiment]) -> str:
    """Return the figure's address, with the content's token if every experiment has ended."""
    if not all(experiment.status.has_ended for experiment in experiments):
        return address
    return f"{address}{'&' if '?' in address else '?'}revision={content_token(experiments)}"


def _headers(request: Request, experiments: Sequence[Experiment], suffix: str, revision: str | None) -> dict[str, str]:
    """Return the headers of a figure of these experiments. Raises HTTPException 404 if the address has another token.

    The tag is the same with and without the token in the address, so both share one rendering.
    """
    token = content_token(experiments)
    parameters = sorted(pair for pair in request.query_params.multi_items() if pair[0] != "revision")
    current = with_revision(_address(request), experiments)
    if revision is not None and revision != token:
        raise HTTPException(404, f"revision: the figure has changed since; its present address is {current}")
    digest = digest_of(repr((token, request.url.path, parameters)).encode())
    return {
        "etag": weak(digest) if suffix in COMPRESSED else strong(digest),
        "cache-control": ALWAYS_REVALIDATE if revision is None else FOR_A_YEAR,
        "content-location": current,
    }


def _address(request: Request) -> str:
    """Return the request's path and query without the token."""
    query = request.url.remove_query_params("revision").query
    return f"{request.url.path}?{query}" if query else request.url.path


def _without_body(headers: dict[str, str], suffix: str) -> Response:
    response = Response(media_type=MEDIA_TYPES[suffix], headers=headers)
    del response.headers["content-length"]  # it would be that of the figure, which is not known before it is drawn
    return response


async def _rendered(request: Request, prepare: Callable[[], Figure]) -> bytes:
    """Return the image. Raises HTTPException 503 if it cannot be rendered now."""
    try:
        content: bytes = await request.app.state.render_pool.render(prepare)
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
