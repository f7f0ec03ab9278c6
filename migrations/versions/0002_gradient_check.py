"""A column for the result of an experiment's gradient check."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Adding a column that may be null alters the table in place, on SQLite too.
    op.add_column("experiments", sa.Column("gradient_check", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("experiments", "gradient_check")
