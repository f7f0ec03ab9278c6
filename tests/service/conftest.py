"""The service as an application on a migrated SQLite file, and an experiment with two recorded epochs."""

import pytest
from fastapi.testclient import TestClient

from normlab.spec.quantities import QUANTITIES
from normlab.store import claims, records
from service.app import create_app
from service.settings import ServiceSettings
from tests.factories import record_of


@pytest.fixture
def client(sqlite):
    app = create_app(ServiceSettings(database_url=sqlite.url, allowed_hosts=("testserver",)))
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def recorded(client, sqlite):
    """The address of a running experiment of two epochs, and the claim it runs on."""
    location = client.post("/experiments", json={"dataset": "digits", "normalization": "batch"}).headers["location"]
    with sqlite.writing.begin() as session:
        held = claims.claim(session, worker="w", lease_seconds=30)
        for epoch in range(2):
            records.record(session, held, record_of(epoch, quantities=QUANTITIES))
    return location, held
