"""Columns for the warnings of an experiment, and for what the worker of a running one is doing.

Experiments of older releases have no warnings. The version before can queue experiments in the schema afterwards,
because the columns have a default or may be null.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A column with a constant default alters the table in place, on SQLite too.
    op.add_column("experiments", sa.Column("warnings", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("experiments", sa.Column("phase", sa.String(length=10), nullable=True))
    op.add_column("experiments", sa.Column("images_per_second", sa.Double(), nullable=True))
    op.add_column("experiments", sa.Column("seconds_left", sa.Double(), nullable=True))


def downgrade() -> None:
    for name in ("seconds_left", "images_per_second", "phase", "warnings"):
        op.drop_column("experiments", name)
