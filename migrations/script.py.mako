"""${message}.

Before you write a migration, remember:

- It runs while an older version may still serve or train. Add what is new in one release, use it in the next, and remove
  what is old in a third. A column that the older version does not write must be nullable or have a server default.
- It must not hold a long lock. On PostgreSQL a rewrite of a large table, or an index without CONCURRENTLY, stops every
  worker until it ends. Read and write large tables in batches.
- SQLite alters a table by copying it. Use op.batch_alter_table, and ids_kept if the table's ids must not be reused.
- All pending migrations are one transaction (migrations/env.py). An error leaves the database as it was.
- Test it from every older revision, with rows: add it to tests/migrations/test_upgrade.py.

Delete this text, and say in its place what the migration changes and why.
"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
