"""The service as an application: its routes, its middleware and what they use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio import to_thread
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from normlab.store.database import MAX_CONNECTIONS, Database
from service.enqueue_batch import EnqueueBatch
from service.http.addresses import Addresses
from service.http.openapi import DocumentedFastAPI
from service.http.problems import map_errors, problems
from service.middleware.authentication import Authentication
from service.middleware.compression import Compression
from service.middleware.host_and_origin import HostAndOrigin
from service.middleware.request_body import RequestBody
from service.middleware.request_log import RequestLog
from service.middleware.unhandled import UnhandledErrors
from service.prometheus import PrometheusMetrics
from service.readiness import Readiness
from service.rendering.render_pool import RenderPool
from service.rendering.shared_tasks import SharedTasks
from service.routes import (
    attempts,
    checkpoints,
    comparisons,
    documentation,
    experiments,
    gradient_checks,
    groups,
    health,
    histograms,
    listing,
    monitoring,
    plots,
    records,
)
from service.settings import ServiceSettings

ROUTES = (
    experiments, listing, groups, attempts, checkpoints, gradient_checks, records, histograms, plots, comparisons,
    monitoring, health, documentation,
)  # fmt: skip
MAX_WRITERS = 4  # requests that write at once. They wait for each other, and readers need threads too.
DESCRIPTION = "Experiments on what normalization does to gradients: post a spec, read its records, fetch its figures."


def create_app(settings: ServiceSettings, *, database: Database | None = None) -> FastAPI:
    """Return the service as an application. It connects to nothing before the first request.

    database: overrides the settings' database, for example with one that has shorter timeouts.
    """
    database = database or Database(settings.database_url)
    app = DocumentedFastAPI(
        title="normlab", version=version("normlab"), description=DESCRIPTION, lifespan=_lifespan,
        # What the middleware may return for every route. Routes with a body have more.
        responses=problems(401, 403, 406, 421, 422, 429, 500, 503),
        openapi_url=None, docs_url=None, redoc_url=None,  # FastAPI's own routes would not declare what they need
        redirect_slashes=False,  # its redirects name http, also behind a proxy that ends TLS
    )  # fmt: skip
    _add_state(app, settings, database)
    _add_middleware(app, settings, database)
    map_errors(app)
    for module in ROUTES:
        app.include_router(module.router)
    return app


def _add_state(app: FastAPI, settings: ServiceSettings, database: Database) -> None:
    """Set what the routes find in `request.app.state`."""
    app.state.settings, app.state.database = settings, database
    app.state.readiness = Readiness(database, names_database=not settings.key_needed())
    app.state.metrics = PrometheusMetrics(database, app.state.readiness)
    app.state.writers = asyncio.Semaphore(MAX_WRITERS)
    app.state.enqueue_batch = EnqueueBatch(database.writing)
    app.state.render_pool = RenderPool()
    app.state.shared_tasks = SharedTasks()
    app.state.addresses = Addresses(route for module in ROUTES for route in module.router.routes)


def _add_middleware(app: FastAPI, settings: ServiceSettings, database: Database) -> None:
    """Add the middleware, the innermost first: a request passes the last one first."""
    app.add_middleware(UnhandledErrors)
    app.add_middleware(RequestBody)
    app.add_middleware(Compression)
    app.add_middleware(
        Authentication,
        database=database,
        key_needed=settings.key_needed(),
        requests_per_second=settings.requests_per_second,
    )
    if settings.allowed_origins:  # a browser shows a response to a page of another origin only with these headers
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allowed_origins, allow_methods=["*"],
            allow_headers=["authorization", "content-type", "idempotency-key", "if-none-match"],
            expose_headers=["location", "etag", "retry-after"],
        )  # fmt: skip
    app.add_middleware(HostAndOrigin, hosts=settings.hosts(), origins=settings.allowed_origins)
    app.add_middleware(RequestLog, metrics=app.state.metrics)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    lag = asyncio.create_task(app.state.metrics.measure_loop_lag())
    to_thread.current_default_thread_limiter().total_tokens = MAX_CONNECTIONS
    yield
    lag.cancel()
    app.state.render_pool.close()
    app.state.database.close()
