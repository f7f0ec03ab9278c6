"""How long PostgreSQL is waited for, and how long it waits for us; SQLite's patience is seen in test_readiness."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import func, literal, make_url, select, text, update
from sqlalchemy.exc import OperationalError

from normlab.store import database as databases
from normlab.store import records
from normlab.store.database import Database
from normlab.store.models import CheckpointRow, GroupRow
from normlab.store.records import Checkpoint, Record
from tests.experiments import claimed, enqueue
from tests.torture.proxy import Proxy

IDLE = text("SHOW idle_in_transaction_session_timeout")


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(databases, "TIMEOUT_SECONDS", 1)


class Slow(Proxy):
    """Lets some two million bytes a second pass."""

    async def _pass_on(self, reader, writer):
        with suppress(OSError):
            while some := await reader.read(2**16):
                writer.write(some)
                await writer.drain()
                await asyncio.sleep(len(some) / 2e6)
        writer.close()


def test_a_statement_has_the_time_that_its_bytes_take_and_no_more(postgresql, hasty):
    def ask(content, seconds):
        with postgresql.reading() as session:
            session.execute(select(func.pg_sleep(seconds), literal(content)))

    with pytest.raises(OperationalError):
        ask(b"", 2)
    ask(bytes(3_000_000), 2)
    with pytest.raises(OperationalError):
        ask(b"", 2)


def test_a_checkpoint_is_written_and_read_however_long_its_bytes_take(postgresql, hasty):
    enqueue(postgresql)
    held = claimed(postgresql)
    contents = [b"small"] * 5 + [bytes(3_000_000)]  # by then its statement would be a prepared one
    url = make_url(postgresql.url)
    with Slow(Path(url.query["host"], ".s.PGSQL.5432")) as proxy:
        far = Database(f"postgresql://postgres@127.0.0.1:{proxy.port}/{url.database}")
        for step, content in enumerate(contents):
            with far.writing.begin() as session:
                records.record(session, held, Record(None, (), Checkpoint(step, content, str(step))))
        with far.reading() as session:
            assert records.checkpoint(session, held.experiment_id).content == contents[-1]
        with far.reading() as session, pytest.raises(OperationalError):
            session.get(CheckpointRow, held.experiment_id)  # which does not say what is to come
        far.close()


def test_who_is_stopped_in_a_transaction_is_put_out_of_it_and_keeps_no_lock(postgresql, hasty):
    stopped = Database(postgresql.url)
    with pytest.raises(OperationalError, match="idle"), stopped.writing.begin() as session:
        session.execute(update(GroupRow).values(claimed_at=1.0))
        time.sleep(2)
        with postgresql.writing.begin() as other:
            other.execute(update(GroupRow).values(claimed_at=2.0))
        session.execute(select(GroupRow))
    with stopped.reading() as session:
        assert session.scalar(select(GroupRow.claimed_at)) == 2.0
    stopped.close()


def test_what_a_databases_address_says_of_its_sessions_is_heeded(postgresql):
    for options, idle in (("", "15s"), ("-c work_mem=5MB", "15s"), ("-c idle_in_transaction_session_timeout=7s", "7s")):
        database = Database(f"{postgresql.url}&options={options}")
        with database.reading() as session:
            assert session.scalar(IDLE) == idle
            assert ("work_mem" in options) == (session.scalar(text("SHOW work_mem")) == "5MB")
        database.close()
