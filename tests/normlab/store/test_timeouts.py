"""How long a client waits for PostgreSQL's reply, and how long the server waits for a client.

How long SQLite waits for a lock is tested in tests/service/test_readiness.py.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import func, literal, make_url, select, text, update
from sqlalchemy.exc import OperationalError

from normlab.store import records
from normlab.store.database import Database
from normlab.store.models import CheckpointRow, GroupRow
from normlab.store.records import Checkpoint, Record
from tests.experiments import claimed, enqueue
from tests.torture.proxy import Proxy

pytestmark = pytest.mark.slow


@pytest.fixture
def impatient(postgresql):
    """The database, with a timeout of one second."""
    database = Database(postgresql.url, timeout_seconds=1)
    yield database
    database.close()


class SlowProxy(Proxy):
    """Passes about two million bytes a second."""

    async def _pass(self, reader, writer):
        with suppress(OSError):
            while content := await reader.read(2**16):
                writer.write(content)
                await writer.drain()
                await asyncio.sleep(len(content) / 2e6)
        writer.close()


class TestReplies:
    """How long a client waits for a reply."""

    def test_statement_with_large_values_has_more_time(self, impatient):
        """A statement times out after the limit, to which the time that its binary values take is added."""

        def sleep(seconds, content):
            with impatient.reading() as session:
                session.execute(select(func.pg_sleep(seconds), literal(content)))

        with pytest.raises(OperationalError):
            sleep(2, b"")
        sleep(2, bytes(3_000_000))
        with pytest.raises(OperationalError):
            sleep(2, b"")

    def test_large_checkpoint_passes_a_slow_network(self, postgresql):
        """A checkpoint is written and read over a network that needs longer for its bytes than the timeout."""
        enqueue(postgresql)
        claim = claimed(postgresql)
        contents = [b"small"] * 5 + [bytes(3_000_000)]  # after five times psycopg would prepare the statement
        url = make_url(postgresql.url)
        with SlowProxy(Path(url.query["host"], ".s.PGSQL.5432")) as proxy:
            address = f"postgresql://postgres@127.0.0.1:{proxy.port}/{url.database}"
            distant = Database(address, timeout_seconds=1)
            for step, content in enumerate(contents):
                with distant.writing.begin() as session:
                    records.record(session, claim, Record(None, (), Checkpoint(step, content, str(step))))
            with distant.reading() as session:
                assert records.checkpoint(session, claim.experiment_id).content == contents[-1]
            with distant.reading() as session, pytest.raises(OperationalError):
                session.get(CheckpointRow, claim.experiment_id)  # without the option reads_bytes
            distant.close()


class TestIdleTransactions:
    """How long the server waits for a client within a transaction."""

    def test_stopped_process_keeps_no_lock(self, postgresql, impatient):
        """The server ends a session that is idle in a transaction. Its locks are free and its changes are undone."""
        with pytest.raises(OperationalError, match="idle"), impatient.writing.begin() as session:
            session.execute(update(GroupRow).values(claimed_at=1.0))
            time.sleep(2)
            with postgresql.writing.begin() as other:
                other.execute(update(GroupRow).values(claimed_at=2.0))
            session.execute(select(GroupRow))
        with impatient.reading() as session:
            assert session.scalar(select(GroupRow.claimed_at)) == 2.0

    @pytest.mark.parametrize(
        ("options", "limit"),
        [("", "15s"), ("-c work_mem=5MB", "15s"), ("-c idle_in_transaction_session_timeout=7s", "7s")],
    )
    def test_limit_of_the_address_is_kept(self, postgresql, options, limit):
        """Options in the database's address apply, and a limit among them is not overwritten."""
        database = Database(f"{postgresql.url}&options={quote(options)}")
        with database.reading() as session:
            assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == limit
            assert ("work_mem" in options) == (session.scalar(text("SHOW work_mem")) == "5MB")
        database.close()
