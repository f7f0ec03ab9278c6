"""Alembic's entry point: run the migrations on the connection of normlab.store.schema.migrating."""

from alembic import context

from normlab.store.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
    transactional_ddl=True,  # else Alembic commits each step on SQLite, and another process runs the next one
)
with context.begin_transaction():
    context.run_migrations()
