"""A migrated SQLite file, the service on it, and an experiment with two recorded epochs."""

import pytest

from normlab.spec.quantities import QUANTITIES
from normlab.store import api_keys, claims, records
from tests.experiments import do
from tests.factories import record_of
from tests.service.clients import client_of


@pytest.fixture
def client(sqlite):
    with client_of(sqlite.url) as client:
        yield client


@pytest.fixture
def recorded(client, sqlite):
    """The address of a running experiment of two epochs, and its claim."""
    location = client.post("/experiments", json={"dataset": "digits", "normalization": "batch"}).headers["location"]
    with sqlite.writing.begin() as session:
        claim = claims.claim(session, worker="w", lease_seconds=30)
        for epoch in range(2):
            records.record(session, claim, record_of(epoch, quantities=QUANTITIES))
    return location, claim


@pytest.fixture
def api_key(sqlite):
    """Creates an API key of a scope."""
    return lambda scope: do(sqlite, api_keys.create, scope, "a test's")
