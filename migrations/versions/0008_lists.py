"""Columns that lists show and sort by: the number of epochs, the folded name, and the last and best metrics.

It reads the spec of every experiment, in batches, and the epochs once. Records are not touched. A spec gets the
experiment's priority if that was changed after the post.
The version before cannot queue experiments in the schema afterwards, because it does not set the number of epochs.
"""

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.sqlite_ids import ids_kept

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

METRICS = ("last_train_loss", "last_test_loss", "last_test_accuracy", "best_test_accuracy")
BATCH = 500  # experiments read at once

experiments = sa.table(
    "experiments", sa.column("id", sa.Integer), sa.column("spec", sa.JSON), sa.column("name", sa.String),
    sa.column("name_folded", sa.Text), sa.column("priority", sa.Integer), sa.column("epochs_done", sa.Integer),
    sa.column("epochs_total", sa.Integer),
    *(sa.column(name, sa.Double) for name in METRICS),
)  # fmt: skip
epochs = sa.table(
    "epochs", sa.column("experiment_id", sa.Integer), sa.column("epoch", sa.Integer),
    sa.column("train_loss", sa.Double), sa.column("test_loss", sa.Double), sa.column("test_accuracy", sa.Double),
)  # fmt: skip


def upgrade() -> None:
    # Adding columns that may be null alters the table in place, on SQLite too.
    folded_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("experiments", sa.Column("name_folded", folded_name, nullable=True))
    op.add_column("experiments", sa.Column("epochs_total", sa.Integer(), nullable=True))
    for name in METRICS:
        op.add_column("experiments", sa.Column(name, sa.Double(), nullable=True))
    for number, values in _values_of_specs():
        op.execute(experiments.update().where(experiments.c.id == number).values(values))
    _fill_metrics()
    # SQLite reads a row from its beginning. With the large columns last, 100,000 rows are sorted three times faster.
    rebuilt = op.batch_alter_table(
        "experiments",
        table_kwargs={"sqlite_autoincrement": True},
        partial_reordering=[(METRICS[-1], "error", "spec", "provenance", "gradient_check")],
    )
    with ids_kept("experiments"), rebuilt as batch_op:
        batch_op.alter_column("epochs_total", existing_type=sa.Integer(), nullable=False)


def downgrade() -> None:
    rebuilt = op.batch_alter_table("experiments", table_kwargs={"sqlite_autoincrement": True})
    with ids_kept("experiments"), rebuilt as batch_op:
        for name in ("name_folded", "epochs_total", *METRICS):
            batch_op.drop_column(name)


def _values_of_specs() -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each experiment's id with the columns that its spec determines."""
    last = 0
    while rows := _batch_after(last):
        for number, name, priority, spec in rows:
            spec = json.loads(spec) if isinstance(spec, str) else spec
            values = {"name_folded": _folded(name), "epochs_total": spec["epochs"]}
            if spec.get("priority", priority) != priority:  # until now a changed priority was not written to the spec
                values["spec"] = spec | {"priority": priority}
            yield number, values
        last = rows[-1].id


def _batch_after(last: int) -> Any:
    columns = sa.select(experiments.c.id, experiments.c.name, experiments.c.priority, experiments.c.spec)
    return op.get_bind().execute(columns.where(experiments.c.id > last).order_by(experiments.c.id).limit(BATCH)).all()


def _folded(name: str | None) -> str | None:
    """Return the name as this revision's lists compare it."""
    return None if name is None else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _fill_metrics() -> None:
    """Copy the metrics of each experiment's last and best epoch."""
    own = epochs.c.experiment_id == experiments.c.id
    last = sa.and_(own, epochs.c.epoch == experiments.c.epochs_done - 1)

    def last_value(column: sa.ColumnClause[float]) -> sa.ScalarSelect[float]:
        return sa.select(column).where(last).scalar_subquery()

    op.execute(
        experiments.update()
        .where(experiments.c.epochs_done > 0)
        .values(
            last_train_loss=last_value(epochs.c.train_loss),
            last_test_loss=last_value(epochs.c.test_loss),
            last_test_accuracy=last_value(epochs.c.test_accuracy),
            best_test_accuracy=sa.select(sa.func.max(epochs.c.test_accuracy)).where(own).scalar_subquery(),
        )
    )
