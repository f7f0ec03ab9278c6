"""A column for the warnings of an experiment. Experiments of older releases have none.

The version before can queue experiments in the schema afterwards, because the column has a default.
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


def downgrade() -> None:
    op.drop_column("experiments", "warnings")
