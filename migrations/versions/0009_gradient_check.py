"""A gradient check that says what it covered, instead of a list of the layers' errors, and a table of requested checks.

It rewrites the result of every experiment that has one. The result of an older release has the layers' errors in
float64 and nothing else; everything that was not compared is null.
"""

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BATCH = 500  # experiments read at once
FLOAT64_LIMIT = 1e-8  # of the older releases
NOT_COMPARED = {"float64": None, "float64_limit": None, "training": None, "training_limit": None}
LEFT_OUT = [
    "This check is of an older release. It compared the eager step's formulas in float64 with autograd of the same "
    "forward pass. The engine, the optimizer, the running statistics and the test pass were not compared."
]

experiments = sa.table("experiments", sa.column("id", sa.Integer), sa.column("gradient_check", sa.JSON))


def upgrade() -> None:
    _rewrite(_structured)
    op.create_table(
        "gradient_checks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("requested_at", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost_attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_gradient_checks_experiment_id_experiments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gradient_checks")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_gradient_checks_experiment_id", "gradient_checks", ["experiment_id"])
    op.create_index("ix_gradient_checks_open", "gradient_checks", ["ended_at", "id"])


def downgrade() -> None:
    op.drop_table("gradient_checks")
    _rewrite(_listed)


def _rewrite(rewritten: Callable[[Any], Any]) -> None:
    for number, check in _checked():
        op.execute(experiments.update().where(experiments.c.id == number).values(gradient_check=rewritten(check)))


def _checked() -> Iterator[tuple[int, Any]]:
    """Yield the experiments that have a gradient check, a batch at a time."""
    last = 0
    while True:
        following = sa.select(experiments).where(experiments.c.id > last).order_by(experiments.c.id).limit(BATCH)
        rows = op.get_bind().execute(following).all()
        if not rows:
            return
        yield from ((number, check) for number, check in rows if check is not None)
        last = rows[-1].id


def _structured(layers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "passed": True, "failure": None, "step": 0, "images": None, "steps": 0, "engine": None,
        "memory": None, "device": None, "precision": None, "scaled_images": None,
        "layers": [
            {
                "layer": layer["layer"], "kind": layer["kind"], "output": NOT_COMPARED,
                "gradients": NOT_COMPARED | _float64(layer["error"]), "departure": None,
            }
            for layer in layers
        ],
        "parameters": [], "running_statistics": [], "loss": None, "correct": None, "capture": None,
        "test_logits": None, "departures": [], "left_out": LEFT_OUT,
    }  # fmt: skip


def _float64(error: float | None) -> dict[str, Any]:
    return {"float64": error, "float64_limit": None if error is None else FLOAT64_LIMIT}


def _listed(check: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"layer": layer["layer"], "kind": layer["kind"], "error": layer["gradients"]["float64"]}
        for layer in check["layers"]
    ]
