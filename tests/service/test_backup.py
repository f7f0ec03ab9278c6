"""`python -m service backup`: a whole copy of a database in use, or a sentence that says why there is none."""

import os
import subprocess
import sys
import threading

from normlab.store.database import Database
from normlab.store.models import Experiment
from tests.experiments import enqueue


def backup(url, file):
    return subprocess.run(
        [sys.executable, "-m", "service", "backup", str(file)],
        env=os.environ | {"NORMLAB_DATABASE_URL": url}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def count(database):
    with database.reading() as session:
        return session.query(Experiment).count()


def test_a_backup_taken_while_experiments_are_queued_is_whole_and_opens_as_a_database(sqlite, tmp_path):
    over = threading.Event()

    def keep_writing():
        while not over.is_set():
            enqueue(sqlite)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        made = backup(sqlite.url, tmp_path / "copy.db")
    finally:
        over.set()
        writer.join()
    assert (made.returncode, "sound" in made.stdout) == (0, True), made.stderr
    copy = Database(f"sqlite:///{tmp_path / 'copy.db'}")
    assert 0 < count(copy) <= count(sqlite)
    copy.close()
    assert {path.name for path in tmp_path.glob("copy*")} == {"copy.db"}


def test_a_backup_overwrites_nothing(sqlite, tmp_path):
    (tmp_path / "mine").write_text("precious")
    refused = backup(sqlite.url, tmp_path / "mine")
    assert (refused.returncode, "is there already" in refused.stderr) == (1, True)
    assert (tmp_path / "mine").read_text() == "precious"


def test_what_cannot_be_copied_is_said_and_leaves_nothing(sqlite, tmp_path):
    assert "there is no database" in backup(f"sqlite:///{tmp_path / 'absent.db'}", tmp_path / "copy").stderr
    assert "no backup was made" in backup(sqlite.url, tmp_path / "no" / "folder").stderr
    (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
    assert "no backup was made" in backup(f"sqlite:///{tmp_path / 'broken.db'}", tmp_path / "copy").stderr
    assert not list(tmp_path.glob("copy*"))


def test_for_postgresql_it_names_the_command_without_the_password(tmp_path):
    for url in (
        "postgresql://me:s3cret@host/normlab?sslmode=require",
        "postgresql://host/normlab?password=s3cret&user=me&sslmode=require",
        "postgresql://host/normlab?sslmode=require&sslpassword=s3cret&Password=s3cret&oauth_client_secret=s3cret",
    ):
        told = backup(url, tmp_path / "copy")
        assert told.returncode == 1
        assert "pg_dump --format=custom" in told.stderr
        assert "sslmode=require" in told.stderr
        assert "s3cret" not in told.stderr
