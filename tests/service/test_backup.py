"""`python -m service backup`: a whole copy of a database in use, or a sentence that says why there is none."""

import os
import subprocess
import sys
import threading

import pytest

from normlab.store.database import Database
from normlab.store.models import Experiment
from tests.experiments import enqueue

pytestmark = pytest.mark.slow


def backup(url, file):
    return subprocess.run(
        [sys.executable, "-m", "service", "backup", str(file)],
        env=os.environ | {"NORMLAB_DATABASE_URL": url}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def count(database):
    with database.reading() as session:
        return session.query(Experiment).count()


class TestSqlite:
    def test_database_in_use(self, sqlite, tmp_path):
        """A backup taken while experiments are queued is one file that opens as a whole database."""
        stopping = threading.Event()

        def keep_writing():
            while not stopping.is_set():
                enqueue(sqlite)

        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            ended = backup(sqlite.url, tmp_path / "copy.db")
        finally:
            stopping.set()
            writer.join()
        assert (ended.returncode, "integrity checked" in ended.stdout) == (0, True), ended.stderr
        copy = Database(f"sqlite:///{tmp_path / 'copy.db'}")
        assert 0 < count(copy) <= count(sqlite)
        copy.close()
        assert {path.name for path in tmp_path.glob("copy*")} == {"copy.db"}

    def test_existing_file(self, sqlite, tmp_path):
        """A backup overwrites no file."""
        (tmp_path / "mine").write_text("precious")
        refused = backup(sqlite.url, tmp_path / "mine")
        assert (refused.returncode, "exists already" in refused.stderr) == (1, True)
        assert (tmp_path / "mine").read_text() == "precious"

    def test_failed_backup(self, sqlite, tmp_path):
        """A backup that fails says why and leaves no file."""
        assert "there is no database" in backup(f"sqlite:///{tmp_path / 'absent.db'}", tmp_path / "copy").stderr
        assert "the backup failed" in backup(sqlite.url, tmp_path / "no" / "folder").stderr
        (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
        assert "the backup failed" in backup(f"sqlite:///{tmp_path / 'broken.db'}", tmp_path / "copy").stderr
        assert not list(tmp_path.glob("copy*"))


class TestPostgresql:
    def test_command_without_password(self, tmp_path):
        """For PostgreSQL the message names the command to use, without the password and other secrets."""
        for url in (
            "postgresql://me:s3cret@host/normlab?sslmode=require",
            "postgresql://host/normlab?password=s3cret&user=me&sslmode=require",
            "postgresql://host/normlab?sslmode=require&sslpassword=s3cret&oauth_client_secret=s3cret",
        ):
            refused = backup(url, tmp_path / "copy")
            assert refused.returncode == 1
            assert "pg_dump --format=custom" in refused.stderr
            assert "sslmode=require" in refused.stderr
            assert "s3cret" not in refused.stderr
