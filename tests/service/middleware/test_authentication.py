"""Keys: who is let in, to what, how often; and that no route is open by an oversight."""

import asyncio
import os
import re
import subprocess
import sys
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from normlab.store import api_keys
from normlab.store.database import CONNECTIONS
from service.app import create_app
from service.authorization import needs, routes
from service.settings import ServiceSettings

PATHS = create_app(ServiceSettings()).openapi()["paths"]
OPERATIONS = [(method, path) for path, methods in PATHS.items() for method in methods]
OPEN = {"/livez", "/readyz"}
LOOKING = {"get", "head"}


@pytest.fixture
def app(sqlite):
    return create_app(
        ServiceSettings(
            database_url=sqlite.url, require_key=True, allowed_hosts=("testserver",), requests_per_second=500
        )
    )


@pytest.fixture
def client(app):
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def key(sqlite):
    def made(scope):
        with sqlite.writing.begin() as session:
            return api_keys.create(session, scope, "a test's")

    return made


def bearing(key):
    return {"authorization": f"Bearer {key}"}


def concrete(path):
    return re.sub(r"\{[^}]*\}", "1", path.replace("{suffix}", "png").replace("{split}", "train"))


def test_a_key_that_cannot_be_looked_up_because_all_connections_are_taken_gets_503(client, app, key):
    headers = bearing(key("read"))
    engine = app.state.database.reader
    engine.pool._timeout = 0.1
    with ExitStack() as taken:
        for _ in range(CONNECTIONS):
            taken.enter_context(engine.connect())
        answer = client.get("/experiments", headers=headers)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert client.get("/experiments", headers=headers).status_code == 200


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
def test_without_a_key_every_route_but_the_health_checks_is_shut(client, method, path):
    answer = client.request(method, concrete(path), json={} if method not in LOOKING else None)
    if path in OPEN:
        assert answer.status_code == 200
        return
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/experiments", "/livez"])
@pytest.mark.parametrize("announced", [(b"content-length", b"500000"), (b"transfer-encoding", b"chunked")])
def test_without_a_key_no_body_is_waited_for(app, method, path, announced):
    sent = []

    async def receive():
        pytest.fail("the body is read")

    async def send(message):
        sent.append(message)

    head = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", b"testserver"), announced],
    }  # fmt: skip
    asyncio.run(app(head, receive, send))
    assert sent[0]["status"] == 401


def test_an_open_route_answers_to_a_head_that_says_there_is_no_body(client):
    assert client.get("/livez", headers={"content-length": "0"}).status_code == 200


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
def test_a_key_to_read_changes_nothing_and_one_to_write_does_all(client, key, method, path):
    body = {"dataset": "digits"} if path == "/experiments" else {"priority": 1}
    asked = {"method": method, "url": concrete(path), "json": body if method in ("post", "patch") else None}
    reader = client.request(**asked, headers=bearing(key("read")))
    writer = client.request(**asked, headers=bearing(key("write")))
    assert (reader.status_code == 403) == (method not in LOOKING)
    assert writer.status_code not in (401, 403)


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_documentation_is_open_for_it_says_nothing_of_what_is_stored(client, path):
    assert client.get(path).status_code == 200


def test_a_route_that_does_not_say_what_it_needs_is_denied_to_a_key_that_may_do_everything(app, client, key):
    forgetful = routes("/forgotten", tag="test")
    forgetful.get("")(lambda: "open")
    forgetful.get("/not")(needs("read")(lambda: "open"))
    app.include_router(forgetful)
    assert client.get("/forgotten", headers=bearing(key("write"))).status_code == 403
    assert client.get("/forgotten/not", headers=bearing(key("read"))).json() == "open"


def test_every_route_of_ours_is_guarded():
    app = create_app(ServiceSettings())
    modules = [included.original_router for included in app.routes]
    assert len(modules) == 10  # and nothing beside them, such as FastAPI's own documentation
    for module in modules:
        for route in module.routes:
            assert type(route).__name__ == "Guarded"
            assert route.endpoint.need in ("nothing", "read", "write")


@pytest.mark.parametrize(
    "spoiled",
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
def test_what_is_almost_a_key_is_none(client, key, spoiled):
    answer = client.get("/experiments", headers=bearing(spoiled(key("write"))))
    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["www-authenticate"]


def test_another_scheme_than_bearer_is_no_key(client, key):
    for given in (f"Basic {key('write')}", key("write"), "Bearer"):
        assert client.get("/experiments", headers={"authorization": given}).status_code == 401


def test_a_revoked_key_is_good_for_nothing_from_the_next_request_on(client, key, sqlite):
    mine = key("read")
    assert client.get("/experiments", headers=bearing(mine)).status_code == 200
    with sqlite.writing.begin() as session:
        assert api_keys.revoke(session, mine.split("_")[1])
    assert client.get("/experiments", headers=bearing(mine)).status_code == 401


def test_the_database_holds_nothing_that_a_key_could_be_made_of(key, sqlite):
    secret = key("write").split("_", 2)[2]
    with sqlite.reading() as session:
        (row,) = api_keys.all_keys(session)
        assert secret not in str(vars(row))


def test_a_key_may_ask_so_often_and_another_is_not_slowed_by_it(sqlite, key):
    settings = ServiceSettings(database_url=sqlite.url, allowed_hosts=("testserver",), requests_per_second=2)
    with TestClient(create_app(settings)) as client:
        hasty, calm = key("read"), key("read")
        answers = [client.get("/experiments", headers=bearing(hasty)) for _ in range(8)]
        assert [answer.status_code for answer in answers].count(429) >= 3
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/experiments", headers=bearing(calm)).status_code == 200


def command(url, *words, **settings):
    environment = os.environ | {"NORMLAB_DATABASE_URL": url} | settings
    return subprocess.run(
        [sys.executable, "-m", "service", *words], env=environment, capture_output=True, text=True, timeout=60
    )


def test_keys_are_made_listed_and_revoked_by_commands(sqlite):
    made = command(sqlite.url, "key", "create", "--scope", "read", "--name", "notebook").stdout.strip()
    key_id = made.split("_")[1]
    assert f"{key_id}  read   good" in command(sqlite.url, "key", "list").stdout
    assert command(sqlite.url, "key", "revoke", key_id).returncode == 0
    listed = command(sqlite.url, "key", "list").stdout
    assert "revoked" in listed
    assert made.split("_", 2)[2] not in listed
    wrong = command(sqlite.url, "key", "revoke", "nothing")
    assert (wrong.returncode, "there is no key nothing" in wrong.stderr) == (1, True)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "\udcff\udcfe", "a\u2028b", "\u202eb"], ids=ascii)
def test_a_name_that_would_not_stand_in_a_line_of_the_list_is_refused_in_words(sqlite, name):
    for words in (["create", "--scope", "read", "--name", name], ["revoke", name]):
        refused = command(sqlite.url, "key", *words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "expected printable characters" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert command(sqlite.url, "key", "list").stdout == ""


def test_a_key_that_could_not_be_stored_is_not_shown(sqlite):
    with sqlite.writing.begin() as session:
        refuse = "CREATE TRIGGER refuse BEFORE INSERT ON api_keys BEGIN SELECT RAISE(ABORT, 'full'); END"
        session.execute(text(refuse))
    made = command(sqlite.url, "key", "create", "--scope", "read")
    assert (made.returncode, made.stdout, made.stderr) == (1, "", "the database does not answer: full\n")


def test_on_another_address_than_loopback_it_does_not_start_before_there_is_a_key(sqlite):
    refused = command(sqlite.url, "--host", "0.0.0.0", "--port", "0", "--no-worker")
    assert refused.returncode == 1
    assert "python -m service key create" in refused.stderr
    assert "NORMLAB_ALLOW_REMOTE_WITHOUT_KEY" in refused.stderr


def test_where_a_key_is_asked_for_it_names_only_what_helps(sqlite):
    refused = command(sqlite.url, "--port", "0", "--no-worker", NORMLAB_REQUIRE_KEY="true")
    assert refused.returncode == 1
    assert refused.stderr.startswith("NORMLAB_REQUIRE_KEY=true takes an API key")
    assert "python -m service key create" in refused.stderr
    assert "NORMLAB_ALLOW_REMOTE_WITHOUT_KEY" not in refused.stderr


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
def test_a_key_is_needed_on_every_address_but_loopback_and_where_it_is_asked_for(settings, needed):
    assert ServiceSettings(**settings).key_needed() is needed
