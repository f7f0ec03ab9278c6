"""A service whose database is older, newer, full, locked or unreachable: its responses say so, and it recovers."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.app import create_app
from service.readiness import Readiness
from service.settings import ServiceSettings
from tests.service.clients import client_of, problem

SPEC = {"dataset": "digits"}


def unavailable(response):
    """The detail of a 503 that says when to try again."""
    detail = problem(response, 503)["detail"]
    assert int(response.headers["retry-after"]) > 0
    return detail


def set_revision(sqlite, revision):
    with sqlite.writing.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})


class TestHealth:
    def test_alive_and_ready(self, client):
        """On a migrated database the service is alive and ready."""
        assert client.get("/livez").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}

    def test_livez_waits_for_no_database(self, sqlite):
        """While every writer waits for a lock, the health check and readers get their responses at once."""
        with client_of(sqlite.url, timeout_seconds=2) as client:
            client.post("/experiments", json={"dataset": "digits"})
            with sqlite.writing.begin() as session, ThreadPoolExecutor(40) as threads:
                session.execute(text("SELECT 1"))  # which takes the file's only lock for writing
                stuck = [threads.submit(client.post, "/experiments/1/pause") for _ in range(40)]
                time.sleep(0.5)
                began = time.monotonic()
                assert client.get("/livez").status_code == 200
                assert client.get("/experiments").status_code == 200
                assert time.monotonic() - began < 1.5
                session.rollback()
                assert {response.result().status_code for response in stuck} <= {200, 503}


class TestSchema:
    @pytest.mark.parametrize("require_key", [False, True])
    def test_database_is_named_where_no_key_is_needed(self, sqlite, require_key):
        """The problem has the path of the database's file, but not where only a key's owner may know it."""
        set_revision(sqlite, "0001")
        with client_of(sqlite.url, require_key=require_key) as client:
            assert (sqlite.location in unavailable(client.get("/readyz"))) is not require_key

    @pytest.mark.parametrize(("revision", "word"), [("0001", "older"), ("9999", "newer")])
    def test_other_schema_is_not_served(self, sqlite, revision, word):
        """A schema that changes under the service is noticed, not served, and served again when it has changed back."""
        with client_of(sqlite.url, readiness=partial(Readiness, good_for_seconds=0.2)) as client:
            assert client.get("/experiments").status_code == 200
            with sqlite.reading() as session:
                revision_before = session.scalar(text("SELECT version_num FROM alembic_version"))
            set_revision(sqlite, revision)
            time.sleep(0.3)
            for response in (client.get("/readyz"), client.get("/experiments"), client.post("/experiments", json=SPEC)):
                assert word in unavailable(response)
            assert client.get("/livez").status_code == 200
            set_revision(sqlite, revision_before)
            assert client.get("/readyz").status_code == 200
            assert client.post("/experiments", json=SPEC).status_code == 201


class TestDatabase:
    def test_unreachable(self):
        """While the database is unreachable, every request that needs it gets a 503 that says when to try again."""
        app = create_app(ServiceSettings(database_url="postgresql://nobody@127.0.0.1:1/nothing"))
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            for response in (
                client.get("/experiments"), client.post("/experiments", json={}), client.get("/experiments/1"),
            ):  # fmt: skip
                problem(response, 503)
                assert response.headers["retry-after"] == "5"

    def test_locked(self, sqlite):
        """A writer waits for a locked database and then gets 503; readers do not wait."""
        with client_of(sqlite.url, timeout_seconds=0.3) as client:
            assert client.post("/experiments", json=SPEC).status_code == 201
            with sqlite.writing.begin() as session:
                session.execute(text("SELECT 1"))  # which takes the file's only lock for writing
                assert "does not answer" in unavailable(client.post("/experiments", json=SPEC))
                assert client.get("/experiments").status_code == 200
            assert client.post("/experiments", json=SPEC).status_code == 201

    def test_full_disk(self, client):
        """A write to a full disk gets 503, everything stored can be read, and later writes succeed."""

        def limit(pages):
            with client.app.state.database.writer.connect() as connection:
                return connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar()

        assert client.post("/experiments", json=SPEC).status_code == 201
        pages = limit(1)  # SQLite raises this to the number of pages in use, so the next page is one too many
        assert pages > 1
        refused = None
        for _ in range(200):
            if (refused := client.post("/experiments", json=SPEC)).status_code != 201:
                break
        unavailable(refused)
        count = len(client.get("/experiments?limit=200").json()["experiments"])
        assert count >= 1
        limit(1_000_000)
        assert client.post("/experiments", json=SPEC).status_code == 201
        assert len(client.get("/experiments?limit=200").json()["experiments"]) == count + 1

    def test_no_database_file(self, tmp_path):
        """With a file that is no database the service exits with a sentence."""
        (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
        environment = os.environ | {"NORMLAB_DATABASE_URL": f"sqlite:///{tmp_path / 'broken.db'}"}
        command = [sys.executable, "-m", "service", "--no-worker", "--port", "0"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"database {tmp_path / 'broken.db'} cannot be opened: file is not a database")
