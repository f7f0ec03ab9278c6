"""A column for an experiment's revision: a random token that every write replaces.

A column with a constant default is added in place, on SQLite too. Then each experiment gets a token of its own. A
version before does not replace the tokens, so its workers must not run beside this one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

RANDOM = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "replace(gen_random_uuid()::text, '-', '')"}


def upgrade() -> None:
    op.add_column("experiments", sa.Column("revision", sa.String(length=32), nullable=False, server_default=""))
    op.execute(f"UPDATE experiments SET revision = {RANDOM[op.get_bind().dialect.name]}")


def downgrade() -> None:
    op.drop_column("experiments", "revision")
