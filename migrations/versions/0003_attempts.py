"""A table of attempts, groups and priorities, pauses, and checkpoints within an epoch.

A requested cancellation becomes the value "cancel" of the new column `wish`. A checkpoint's epoch becomes its step.
"""

import json

import sqlalchemy as sa
from alembic import op

from migrations.sqlite_ids import ids_kept

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATUSES = "status IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')"
OLDER_STATUSES = "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')"

experiments = sa.table(
    "experiments", sa.column("id", sa.Integer), sa.column("spec", sa.JSON), sa.column("steps_total", sa.Integer),
    sa.column("cancel_requested", sa.Boolean), sa.column("wish", sa.String), sa.column("status", sa.String),
    sa.column("group", sa.String), sa.column("priority", sa.Integer), sa.column("attempts_before", sa.Integer),
)  # fmt: skip
checkpoints = sa.table(
    "checkpoints", sa.column("experiment_id", sa.Integer), sa.column("epoch", sa.Integer), sa.column("step", sa.Integer)
)


def upgrade() -> None:
    with op.batch_alter_table("experiments") as batch_op:
        batch_op.add_column(sa.Column("group", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("priority", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("attempts_before", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("wish", sa.String(length=10), nullable=True))
        batch_op.add_column(sa.Column("max_run_seconds", sa.Double(), nullable=True))
    op.execute(experiments.update().values(group="", priority=0, attempts_before=0))
    op.execute(experiments.update().where(experiments.c.cancel_requested).values(wish="cancel"))
    op.execute(experiments.update().where(experiments.c.status != "running").values(wish=None))
    rebuilt = op.batch_alter_table("experiments", table_kwargs={"sqlite_autoincrement": True})
    with ids_kept("experiments"), rebuilt as batch_op:
        for name, column_type in (
            ("group", sa.String(length=64)),
            ("priority", sa.Integer()),
            ("attempts_before", sa.Integer()),
        ):
            batch_op.alter_column(name, existing_type=column_type, nullable=False)
        batch_op.drop_column("cancel_requested")
        batch_op.drop_constraint(op.f("ck_experiments_status"), type_="check")
        batch_op.create_check_constraint(op.f("ck_experiments_status"), STATUSES)
        batch_op.create_check_constraint(op.f("ck_experiments_wish"), "wish IN ('cancel', 'pause')")
        batch_op.create_index("ix_experiments_claim", ["status", "priority", "group", "id"], unique=False)

    with op.batch_alter_table("checkpoints") as batch_op:
        batch_op.add_column(sa.Column("step", sa.BigInteger(), nullable=True))
    _fill_in_steps()
    with op.batch_alter_table("checkpoints") as batch_op:
        batch_op.alter_column("step", existing_type=sa.BigInteger(), nullable=False)
        batch_op.drop_column("epoch")

    op.create_table(
        "attempts",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.Column("claimed_at", sa.Double(), nullable=False),
        sa.Column("resumed_at_step", sa.Integer(), nullable=True),
        sa.Column("provenance", sa.JSON(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_attempts_experiment_id_experiments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("experiment_id", "attempt", name=op.f("pk_attempts")),
    )
    groups = op.create_table(
        "experiment_groups",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_experiment_groups")),
    )
    op.execute(groups.insert().values(name=""))  # the group of experiments without one


def downgrade() -> None:
    op.drop_table("experiment_groups")
    op.drop_table("attempts")
    with op.batch_alter_table("checkpoints") as batch_op:
        batch_op.add_column(sa.Column("epoch", sa.Integer(), nullable=True))
    _fill_in_epochs()
    with op.batch_alter_table("checkpoints") as batch_op:
        batch_op.alter_column("epoch", existing_type=sa.Integer(), nullable=False)
        batch_op.drop_column("step")
    with op.batch_alter_table("experiments") as batch_op:
        batch_op.add_column(sa.Column("cancel_requested", sa.Boolean(), nullable=True))
    op.execute(
        experiments.update().values(cancel_requested=sa.func.coalesce(experiments.c.wish == "cancel", sa.false()))
    )
    op.execute(experiments.update().where(experiments.c.status == "paused").values(status="queued"))
    rebuilt = op.batch_alter_table("experiments", table_kwargs={"sqlite_autoincrement": True})
    with ids_kept("experiments"), rebuilt as batch_op:
        batch_op.alter_column("cancel_requested", existing_type=sa.Boolean(), nullable=False)
        batch_op.drop_index("ix_experiments_claim")
        batch_op.drop_constraint(op.f("ck_experiments_wish"), type_="check")
        batch_op.drop_constraint(op.f("ck_experiments_status"), type_="check")
        batch_op.create_check_constraint(op.f("ck_experiments_status"), OLDER_STATUSES)
        for name in ("group", "priority", "attempts_before", "wish", "max_run_seconds"):
            batch_op.drop_column(name)


def _fill_in_steps() -> None:
    """Set the step of each checkpoint. Until now all were stored at the end of an epoch."""
    for experiment_id, epoch, steps_an_epoch in _checkpoints(checkpoints.c.epoch):
        _set(experiment_id, step=(epoch + 1) * steps_an_epoch)


def _fill_in_epochs() -> None:
    """Set the epoch of each checkpoint. An experiment whose checkpoint lies within an epoch starts again."""
    for experiment_id, step, steps_an_epoch in _checkpoints(checkpoints.c.step):
        if step % steps_an_epoch:
            for table in ("checkpoints", "epochs", "histograms"):
                op.execute(sa.text(f"DELETE FROM {table} WHERE experiment_id = {experiment_id}"))
            op.execute(sa.text(f"UPDATE experiments SET epochs_done = 0, step = 0 WHERE id = {experiment_id}"))
        else:
            _set(experiment_id, epoch=step // steps_an_epoch - 1)


def _checkpoints(column: sa.ColumnClause[int]) -> list[tuple[int, int, int]]:
    """Return of each checkpoint its experiment, the column's value, and the number of steps in an epoch."""
    rows = op.get_bind().execute(
        sa.select(checkpoints.c.experiment_id, column, experiments.c.steps_total, experiments.c.spec).join_from(
            checkpoints, experiments, checkpoints.c.experiment_id == experiments.c.id
        )
    )
    return [(number, value, (total or 1) // _epochs(spec)) for number, value, total, spec in rows]


def _epochs(spec: object) -> int:
    return int((json.loads(spec) if isinstance(spec, str) else spec)["epochs"])  # type: ignore[index]


def _set(experiment_id: int, **values: int) -> None:
    op.execute(checkpoints.update().where(checkpoints.c.experiment_id == experiment_id).values(**values))
