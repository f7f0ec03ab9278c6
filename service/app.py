"""The service, assembled: everything it is made of, in one visible place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio import to_thread
from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.middleware.cors import CORSMiddleware

from service.door.bodies import Bodies
from service.door.callers import Callers
from service.door.heads import Heads
from service.drawing import Drawing
from service.enqueuing import Enqueuing
from service.errors import Unexpected, map_errors, problems
from service.experiments.database import CONNECTIONS, Database
from service.metrics import Metrics
from service.observing import Observed
from service.readiness import Readiness
from service.routes import (
    attempts,
    checkpoints,
    comparisons,
    documentation,
    experiments,
    groups,
    health,
    monitoring,
    plots,
    records,
)
from service.settings import ServiceSettings

WRITERS = 4  # requests that change something at once: all wait for one another, and readers need threads too
DESCRIPTION = "Experiments on what normalization does to gradients: post a spec, read its records, fetch its figures."


def create_app(settings: ServiceSettings) -> FastAPI:
    """The service as an application. Nothing connects before the first request."""
    database = Database(settings.database_url)
    readiness = Readiness(database)
    metrics = Metrics(database, readiness)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(metrics.watch_the_loop())
        to_thread.current_default_thread_limiter().total_tokens = CONNECTIONS
        yield
        watching.cancel()
        app.state.drawing.close()
        database.close()

    app = FastAPI(
        title="normlab", version=version("normlab"), description=DESCRIPTION, lifespan=lifespan,
        # Only said, for the page's Authorize button: the door is what looks at keys.
        dependencies=[Security(HTTPBearer(auto_error=False))] if settings.key_needed() else [],
        responses=problems(401, 403, 408, 413, 415, 421, 422, 429, 503),  # what the door may answer, before any route
        openapi_url=None, docs_url=None, redoc_url=None,  # FastAPI's own would be open without saying so
    )  # fmt: skip
    app.state.settings, app.state.database = settings, database
    app.state.metrics, app.state.readiness = metrics, readiness
    app.state.writers = asyncio.Semaphore(WRITERS)
    app.state.enqueuing, app.state.drawing = Enqueuing(database.writing), Drawing()
    map_errors(app)
    # From the inside out: a request comes by the last of these first.
    app.add_middleware(Unexpected)
    app.add_middleware(Bodies)
    app.add_middleware(
        Callers,
        database=database,
        key_needed=settings.key_needed(),
        requests_per_second=settings.requests_per_second,
    )
    if settings.allowed_origins:  # what lets a browser show them our answers
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allowed_origins, allow_methods=["*"],
            allow_headers=["authorization", "content-type", "idempotency-key"], expose_headers=["location", "etag"],
        )  # fmt: skip
    app.add_middleware(Heads, hosts=settings.hosts(), origins=settings.allowed_origins)
    app.add_middleware(Observed, metrics=metrics)
    for module in (
        experiments, groups, attempts, checkpoints, records, plots, comparisons, monitoring, health, documentation,
    ):  # fmt: skip
        app.include_router(module.router)
    return app
