"""What the tests of the service share: a client of an application, and the problem document of a response."""

from contextlib import contextmanager

from fastapi.testclient import TestClient

from normlab.store.database import Database
from service.app import create_app
from service.settings import ServiceSettings


@contextmanager
def client_of(url, *, timeout_seconds=None, readiness=None, **settings):
    """A client of an application on a database.

    timeout_seconds: how long a statement waits for the database. readiness: makes a Readiness of the database.
    """
    database = None if timeout_seconds is None else Database(url, timeout_seconds=timeout_seconds)
    app = create_app(ServiceSettings(database_url=url, allowed_hosts=("testserver",), **settings), database=database)
    if readiness is not None:
        app.state.readiness = readiness(app.state.database)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def problem(response, status):
    """The problem document of a response, which must have this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    return response.json()


def bearing(api_key):
    """The header that carries an API key."""
    return {"authorization": f"Bearer {api_key}"}
