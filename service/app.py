"""The service, assembled: everything it is made of, in one visible place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from service.door import Door
from service.errors import map_errors
from service.experiments.database import Database
from service.routes import attempts, comparisons, experiments, groups, health, plots, records
from service.settings import ServiceSettings

DESCRIPTION = "Experiments on what normalization does to gradients: post a spec, read its records, fetch its figures."


def create_app(settings: ServiceSettings) -> FastAPI:
    """The service as an application. Nothing connects before the first request."""
    database = Database(settings.database_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    app = FastAPI(
        title="normlab", version=version("normlab"), description=DESCRIPTION, lifespan=lifespan, redoc_url=None
    )
    app.state.database, app.state.settings = database, settings
    map_errors(app)
    app.add_middleware(Door, hosts=settings.hosts(), origins=settings.allowed_origins)
    app.include_router(experiments.router)
    app.include_router(groups.router)
    app.include_router(attempts.router)
    app.include_router(records.router)
    app.include_router(plots.router)
    app.include_router(comparisons.router)
    app.include_router(health.router)
    return app
