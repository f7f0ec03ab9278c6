"""A service whose database is older, newer, full, locked or gone says so, serves nothing wrong, and recovers."""

import os
import subprocess
import sys
import time

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from normlab.store.database import Database
from service import readiness
from service.app import create_app
from service.settings import ServiceSettings

SPEC = {"dataset": "digits"}


def away(answer):
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    return answer.json()["detail"]


def set_revision(sqlite, revision):
    with sqlite.writing.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})


@pytest.mark.parametrize(("revision", "said"), [("0001", "older"), ("9999", "newer")])
def test_a_database_that_changes_under_it_is_noticed_and_not_served_and_served_again(
    client, sqlite, monkeypatch, revision, said
):
    monkeypatch.setattr(readiness, "GOOD_FOR_SECONDS", 0.2)
    assert client.get("/experiments").status_code == 200
    with sqlite.reading() as session:
        head = session.scalar(text("SELECT version_num FROM alembic_version"))
    set_revision(sqlite, revision)
    time.sleep(0.3)
    for asked in (client.get("/readyz"), client.get("/experiments"), client.post("/experiments", json=SPEC)):
        assert said in away(asked)
    assert client.get("/livez").status_code == 200
    set_revision(sqlite, head)
    assert client.get("/readyz").status_code == 200
    assert client.post("/experiments", json=SPEC).status_code == 201


def test_a_locked_database_is_waited_for_and_then_answered_with_503(sqlite):
    settings = ServiceSettings(database_url=sqlite.url, allowed_hosts=("testserver",))
    app = create_app(settings, database=Database(sqlite.url, timeout_seconds=0.3))
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.post("/experiments", json=SPEC).status_code == 201
        with sqlite.writing.begin() as session:
            session.execute(text("SELECT 1"))  # which takes the file's only place to write
            assert "does not answer" in away(client.post("/experiments", json=SPEC))
            assert client.get("/experiments").status_code == 200
        assert client.post("/experiments", json=SPEC).status_code == 201


def test_a_full_disk_is_answered_with_503_and_what_was_there_can_be_read(client, sqlite):
    def limit(pages):
        with client.app.state.database.writer.connect() as connection:
            return connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar()

    assert client.post("/experiments", json=SPEC).status_code == 201
    full = limit(1)  # which SQLite raises to as many as there are: the next one that is wanted is one too many
    assert full > 1
    refused = None
    for _ in range(200):
        if (refused := client.post("/experiments", json=SPEC)).status_code != 201:
            break
    away(refused)
    count = len(client.get("/experiments?limit=200").json()["experiments"])
    assert count >= 1
    limit(1_000_000)
    assert client.post("/experiments", json=SPEC).status_code == 201
    assert len(client.get("/experiments?limit=200").json()["experiments"]) == count + 1


def test_a_file_that_is_no_database_ends_the_service_with_a_sentence(tmp_path):
    (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
    environment = os.environ | {"NORMLAB_DATABASE_URL": f"sqlite:///{tmp_path / 'broken.db'}"}
    command = [sys.executable, "-m", "service", "--no-worker", "--port", "0"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("the database cannot be opened: file is not a database")
