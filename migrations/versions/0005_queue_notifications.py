"""On PostgreSQL, a notification whenever an experiment is queued, so that idle workers claim it at once.

SQLite has no notifications. Its workers poll.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(
        "CREATE FUNCTION normlab_notify_queued() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_notify('normlab_queued', ''); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER experiments_queued AFTER INSERT OR UPDATE OF status ON experiments "
        "FOR EACH ROW WHEN (NEW.status = 'queued') EXECUTE FUNCTION normlab_notify_queued()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("DROP TRIGGER experiments_queued ON experiments")
    op.execute("DROP FUNCTION normlab_notify_queued()")
