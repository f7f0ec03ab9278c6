"""Rebuilding a table on SQLite without giving the ids of deleted rows to new ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op


@contextmanager
def ids_kept(table: str) -> Iterator[None]:
    """Keep a table's largest id ever given while Alembic rebuilds the table. PostgreSQL alters tables in place."""
    if op.get_bind().dialect.name != "sqlite":
        yield
        return
    last = op.get_bind().scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = :table").bindparams(table=table))
    yield
    op.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :table").bindparams(table=table))
    op.execute(
        sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)").bindparams(
            table=table, last=last or 0
        )
    )
