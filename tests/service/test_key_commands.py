"""`python -m service key`, and a service that does not start without a key."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import text

from normlab.store.schema import schema_revision

pytestmark = pytest.mark.slow


def command(url, *words, **settings):
    """Run `python -m service`."""
    environment = os.environ | {"NORMLAB_DATABASE_URL": url} | settings
    return subprocess.run(
        [sys.executable, "-m", "service", *words], env=environment, capture_output=True, text=True, timeout=60
    )


class TestKeyCommands:
    def test_create_list_and_revoke(self, sqlite):
        """A key is created and printed once, listed without its secret, and revoked."""
        key = command(sqlite.url, "key", "create", "--scope", "read", "--name", "notebook").stdout.strip()
        key_id = key.split("_")[1]
        assert f"{key_id}  read   active " in command(sqlite.url, "key", "list").stdout
        assert command(sqlite.url, "key", "revoke", key_id).returncode == 0
        listed = command(sqlite.url, "key", "list").stdout
        assert "revoked" in listed
        assert key.split("_", 2)[2] not in listed
        unknown = command(sqlite.url, "key", "revoke", "nothing")
        assert (unknown.returncode, "there is no API key nothing" in unknown.stderr) == (1, True)

    def test_list_makes_no_database(self, tmp_path):
        """Where there is no database, the list of its keys is refused and no database is made."""
        for words in (["list"], ["revoke", "x"]):
            refused = command(f"sqlite:///{tmp_path}/n.db", "key", *words)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert refused.stderr.startswith(f"database {tmp_path}/n.db does not exist yet")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "\udcff\udcfe", "a\u2028b", "\u202eb"], ids=ascii)
    def test_unprintable_name(self, sqlite, name):
        """A name that would not be printed in one line of the list is refused with a sentence."""
        for words in (["create", "--scope", "read", "--name", name], ["revoke", name]):
            refused = command(sqlite.url, "key", *words)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert "expected printable characters" in refused.stderr
            assert "Traceback" not in refused.stderr
        assert command(sqlite.url, "key", "list").stdout == ""

    def test_key_that_is_not_stored_is_not_printed(self, sqlite):
        """A key that could not be stored is not printed."""
        with sqlite.writing.begin() as session:
            refuse = "CREATE TRIGGER refuse BEFORE INSERT ON api_keys BEGIN SELECT RAISE(ABORT, 'full'); END"
            session.execute(text(refuse))
        ended = command(sqlite.url, "key", "create", "--scope", "read")
        opened, message = ended.stderr.splitlines()
        assert (ended.returncode, ended.stdout, message) == (1, "", f"database {sqlite.location} does not answer: full")
        assert opened == f"database {sqlite.location}: schema {schema_revision(sqlite.reader)}, 0 experiments"


class TestStartWithoutKey:
    def test_other_address_than_loopback(self, sqlite):
        """On another address than loopback the service does not start before there is a key, and says what to do."""
        refused = command(sqlite.url, "--host", "0.0.0.0", "--port", "0", "--no-worker")
        assert refused.returncode == 1
        assert "python -m service key create" in refused.stderr
        assert "NORMLAB_ALLOW_REMOTE_WITHOUT_KEY" in refused.stderr

    def test_required_key(self, sqlite):
        """Where the setting requires a key, the message names only what helps."""
        refused = command(sqlite.url, "--port", "0", "--no-worker", NORMLAB_REQUIRE_KEY="true")
        assert refused.returncode == 1
        message = refused.stderr.splitlines()[-1]
        assert message.startswith("NORMLAB_REQUIRE_KEY=true requires an API key")
        assert "python -m service key create" in refused.stderr
        assert "NORMLAB_ALLOW_REMOTE_WITHOUT_KEY" not in refused.stderr
