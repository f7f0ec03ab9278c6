"""API keys: which requests they allow and how many, and that every route declares what it needs."""

import asyncio
import re
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from normlab.store import api_keys
from normlab.store.database import MAX_CONNECTIONS
from service.app import ROUTES, create_app
from service.http.authorization import GuardedRoute, guarded_router, needs
from service.settings import ServiceSettings
from tests.experiments import do
from tests.service.clients import bearing, client_of, problem

PATHS = create_app(ServiceSettings()).openapi()["paths"]
OPERATIONS = [(method, path) for path, methods in PATHS.items() for method in methods]
OPEN = {"/livez", "/readyz"}
READING = {"get", "head"}


@pytest.fixture
def app(sqlite):
    return create_app(
        ServiceSettings(
            database_url=sqlite.url, require_key=True, allowed_hosts=("testserver",), requests_per_second=500
        )
    )


@pytest.fixture
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def concrete(path):
    return re.sub(r"\{[^}]*\}", "1", path.replace("{suffix}", "png").replace("{split}", "train"))


class TestWithoutKey:
    @pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
    def test_only_health_checks_are_open(self, client, method, path):
        """Without an API key every route but the health checks returns 401."""
        response = client.request(method, concrete(path), json={} if method not in READING else None)
        if path in OPEN:
            assert response.status_code == 200
            return
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"

    def test_refusal_says_what_to_send(self, client):
        """The refusal names the header to send."""
        assert problem(client.get("/experiments"), 401)["detail"] == (
            "API key required: send 'Authorization: Bearer normlab_…'"
        )

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    @pytest.mark.parametrize("path", ["/experiments", "/livez"])
    @pytest.mark.parametrize("announced", [(b"content-length", b"500000"), (b"transfer-encoding", b"chunked")])
    def test_body_is_not_read(self, app, method, path, announced):
        """The service does not wait for the body of a request without an API key."""
        sent = []

        async def receive():
            pytest.fail("the body is read")

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"host", b"testserver"), announced],
        }  # fmt: skip
        asyncio.run(app(scope, receive, send))
        assert sent[0]["status"] == 401

    def test_open_route_with_an_empty_body(self, client):
        """An open route accepts a request whose header says that it has no body."""
        assert client.get("/livez", headers={"content-length": "0"}).status_code == 200

    @pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
    def test_documentation_is_open(self, client, path):
        """The documentation is open, because it holds no stored data."""
        assert client.get(path).status_code == 200


class TestScopes:
    @pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
    def test_read_changes_nothing_and_write_does_all(self, client, api_key, method, path):
        """A key of scope `read` is refused wherever something changes; one of scope `write` is never refused."""
        body = {"dataset": "digits"} if path == "/experiments" else {"priority": 1}
        request = {"method": method, "url": concrete(path), "json": body if method in ("post", "patch") else None}
        reader = client.request(**request, headers=bearing(api_key("read")))
        writer = client.request(**request, headers=bearing(api_key("write")))
        assert (reader.status_code == 403) == (method not in READING)
        assert writer.status_code not in (401, 403)

    def test_route_without_declaration_is_closed(self, app, client, api_key):
        """A route that does not declare what it needs is closed, even to a key that may do everything."""
        undeclared = guarded_router("/undeclared", tag="test")
        undeclared.get("")(lambda: "open")
        undeclared.get("/not")(needs("read")(lambda: "open"))
        app.include_router(undeclared)
        assert client.get("/undeclared", headers=bearing(api_key("write"))).status_code == 403
        assert client.get("/undeclared/not", headers=bearing(api_key("read"))).json() == "open"

    def test_every_route_is_guarded(self):
        """The application has the routes of its modules alone, and each declares what it needs."""
        modules = [included.original_router for included in create_app(ServiceSettings()).routes]
        assert len(modules) == len(ROUTES) == 13  # and nothing beside them, such as FastAPI's own documentation
        for module in modules:
            for route in module.routes:
                assert type(route) is GuardedRoute
                assert route.endpoint.need in ("nothing", "read", "write")


class TestKey:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda key: key[:-1],
            lambda key: key + "a",
            lambda key: key.upper(),
            lambda key: key.rsplit("_", 1)[0] + "_",
            lambda key: "normlab_00000000_" + key.split("_", 2)[2],
            lambda key: "",
            lambda key: "normlab__",
            lambda key: key + "\x00",
            lambda key: key * 9,
            lambda key: "' OR 1=1 --",
        ],
    )
    def test_almost_a_key(self, client, api_key, spoil):
        """A text that is almost an API key is refused as invalid."""
        response = client.get("/experiments", headers=bearing(spoil(api_key("write"))))
        assert problem(response, 401)["detail"] == "Invalid or revoked API key"
        assert "invalid_token" in response.headers["www-authenticate"]

    def test_other_scheme(self, client, api_key):
        """A key under another scheme than Bearer is refused, and the refusal says what to send."""
        for given in (f"Basic {api_key('write')}", api_key("write")):
            response = client.get("/experiments", headers={"authorization": given})
            assert problem(response, 401)["detail"] == "API key required: send 'Authorization: Bearer normlab_…'"
            assert response.headers["www-authenticate"] == "Bearer"

    def test_scheme_without_key(self, client):
        """The scheme Bearer without a key is refused as an invalid key."""
        response = client.get("/experiments", headers={"authorization": "Bearer"})
        assert problem(response, 401)["detail"] == "Invalid or revoked API key"

    def test_revoked_key_is_refused(self, client, api_key, sqlite):
        """A revoked key is refused from the next request on."""
        key = api_key("read")
        assert client.get("/experiments", headers=bearing(key)).status_code == 200
        assert do(sqlite, api_keys.revoke, key.split("_")[1])
        assert client.get("/experiments", headers=bearing(key)).status_code == 401

    def test_database_holds_no_secret(self, api_key, sqlite):
        """No stored value holds the secret of a key."""
        secret = api_key("write").split("_", 2)[2]
        with sqlite.reading() as session:
            (row,) = api_keys.all_keys(session)
            assert secret not in str(vars(row))

    def test_no_free_connection_is_503(self, client, app, api_key):
        """A key that cannot be read because every connection is in use gets 503, not 401."""
        headers = bearing(api_key("read"))
        engine = app.state.database.reader
        engine.pool._timeout = 0.1
        with ExitStack() as taken:
            for _ in range(MAX_CONNECTIONS):
                taken.enter_context(engine.connect())
            response = client.get("/experiments", headers=headers)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        assert client.get("/experiments", headers=headers).status_code == 200


class TestRateLimit:
    def test_each_key_has_its_own(self, sqlite, api_key):
        """A key with an empty token bucket gets 429 with the time to wait, and another key is not slowed."""
        with client_of(sqlite.url, requests_per_second=2) as client:
            hasty, calm = api_key("read"), api_key("read")
            responses = [client.get("/experiments", headers=bearing(hasty)) for _ in range(8)]
            assert [response.status_code for response in responses].count(429) >= 3
            refused = next(response for response in responses if response.status_code == 429)
            assert int(refused.headers["retry-after"]) >= 1
            assert client.get("/experiments", headers=bearing(calm)).status_code == 200


class TestWhereAKeyIsNeeded:
    @pytest.mark.parametrize(
        ("settings", "needed"),
        [
            ({"host": "0.0.0.0"}, True),
            ({"host": "192.168.1.5"}, True),
            ({"host": "lab.example"}, True),
            ({"host": "::1"}, False),
            ({"host": "localhost"}, False),
            ({"host": "0.0.0.0", "allow_remote_without_key": True}, False),
            ({"require_key": True}, True),
        ],
    )
    def test_by_address_and_setting(self, settings, needed):
        """A key is needed on every address but loopback, and wherever the settings require one."""
        assert ServiceSettings(**settings).key_needed() is needed
