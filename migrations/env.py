"""Alembic's entry: runs the migrations on the connection it is handed (service.experiments.schema opens it)."""

from alembic import context

from normlab.store.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
    compare_type=True,
    transactional_ddl=True,  # Alembic would let go of SQLite's lock after each step, and another process would go on
)
with context.begin_transaction():
    context.run_migrations()
