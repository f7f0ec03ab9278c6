"""The service, assembled: everything it is made of, in one visible place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio import to_thread
from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.middleware.cors import CORSMiddleware

from normlab.store.database import CONNECTIONS, Database
from service.enqueue_batch import EnqueueBatch
from service.middleware.authentication import Authentication
from service.middleware.host_and_origin import HostAndOrigin
from service.middleware.request_body import RequestBody
from service.middleware.request_log import RequestLog
from service.problems import UnhandledErrors, map_errors, problems
from service.prometheus import PrometheusMetrics
from service.readiness import Readiness
from service.render_pool import RenderPool
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


def create_app(settings: ServiceSettings, *, database: Database | None = None) -> FastAPI:
    """The service as an application. Nothing connects before the first request. database: not the settings' one."""
    database = database or Database(settings.database_url)
    readiness = Readiness(database)
    metrics = PrometheusMetrics(database, readiness)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(metrics.watch_the_loop())
        to_thread.current_default_thread_limiter().total_tokens = CONNECTIONS
        yield
        watching.cancel()
        app.state.render_pool.close()
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
    app.state.enqueue_batch, app.state.render_pool = EnqueueBatch(database.writing), RenderPool()
    map_errors(app)
    # From the inside out: a request comes by the last of these first.
    app.add_middleware(UnhandledErrors)
    app.add_middleware(RequestBody)
    app.add_middleware(
        Authentication,
        database=database,
        key_needed=settings.key_needed(),
        requests_per_second=settings.requests_per_second,
    )
    if settings.allowed_origins:  # what lets a browser show them our answers
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allowed_origins, allow_methods=["*"],
            allow_headers=["authorization", "content-type", "idempotency-key"], expose_headers=["location", "etag"],
        )  # fmt: skip
    app.add_middleware(HostAndOrigin, hosts=settings.hosts(), origins=settings.allowed_origins)
    app.add_middleware(RequestLog, metrics=metrics)
    for module in (
        experiments, groups, attempts, checkpoints, records, plots, comparisons, monitoring, health, documentation,
    ):  # fmt: skip
        app.include_router(module.router)
    return app
