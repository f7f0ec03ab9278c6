"""The service, assembled: everything it is made of, in one visible place."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request, Response

from service.errors import map_errors, problem
from service.experiments.database import Database
from service.routes import attempts, comparisons, experiments, groups, health, plots, records
from service.settings import ServiceSettings

LARGEST_BODY = 1_000_000  # bytes

DESCRIPTION = "Experiments on what normalization does to gradients: post a spec, read its records, fetch its figures."


def create_app(settings: ServiceSettings) -> FastAPI:
    """The service as an application. Nothing connects before the first request."""
    database = Database(settings.database_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    app = FastAPI(title="normlab", version=version("normlab"), description=DESCRIPTION, lifespan=lifespan)
    app.state.database, app.state.settings = database, settings
    map_errors(app)
    app.middleware("http")(_guard)
    app.include_router(experiments.router)
    app.include_router(groups.router)
    app.include_router(attempts.router)
    app.include_router(records.router)
    app.include_router(plots.router)
    app.include_router(comparisons.router)
    app.include_router(health.router)
    return app


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse a body that says it is too large, or does not say; and let no browser guess at types."""
    length = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers:
        return problem(411, "a body needs a Content-Length")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        return problem(413, f"a body may have {LARGEST_BODY:,} bytes")
    response = await call_next(request)
    response.headers["x-content-type-options"] = "nosniff"
    return response
