"""New names for columns, spec fields and layer kinds, columns for name and seed, and a table of idempotency keys.

It reads and rewrites the spec of every experiment, in batches. Records and checkpoints are not touched.
The version before cannot use the schema afterwards. It was never published.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.sqlite_ids import ids_kept

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = {"wish": "requested_action", "attempts_before": "attempts_before_retry", "group": "queue_group"}
FIELDS = {"weight_std": "init_std"}
KINDS = {"mean_pool": "global_average_pool", "sum": "add", "threshold": "thresholded_linear"}  # of layers
MEMORY = {"lean": "recompute"}
OUTCOMES = {"given back": "released"}
BATCH = 500  # experiments read at once

experiments = sa.table(
    "experiments", sa.column("id", sa.Integer), sa.column("spec", sa.JSON), sa.column("gradient_check", sa.JSON),
    sa.column("name", sa.String), sa.column("seed", sa.BigInteger), sa.column("idempotency_key", sa.String),
    sa.column("idempotency_digest", sa.String),
)  # fmt: skip
attempts = sa.table("attempts", sa.column("outcome", sa.String))


def upgrade() -> None:
    _rename_columns(COLUMNS)
    # Adding columns that may be null alters the table in place, on SQLite too.
    op.add_column("experiments", sa.Column("name", sa.String(length=200), nullable=True))
    op.add_column("experiments", sa.Column("seed", sa.BigInteger(), nullable=True))
    _rewrite_experiments(_with_columns(_renamed))
    _rename_outcomes(OUTCOMES)
    keys = op.create_table(
        "idempotency_keys",
        sa.Column("api_key", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_idempotency_keys_experiment_id_experiments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("api_key", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_experiment_id", "idempotency_keys", ["experiment_id"])
    # Which API key sent a key was not stored before. Such a key counts as sent without one.
    op.execute(
        keys.insert().from_select(
            ["api_key", "key", "digest", "experiment_id"],
            sa.select(
                sa.literal(""),
                experiments.c.idempotency_key,
                sa.func.coalesce(experiments.c.idempotency_digest, ""),
                experiments.c.id,
            ).where(experiments.c.idempotency_key.is_not(None)),
        )
    )
    rebuilt = op.batch_alter_table("experiments", table_kwargs={"sqlite_autoincrement": True})
    with ids_kept("experiments"), rebuilt as batch_op:
        batch_op.alter_column("seed", existing_type=sa.BigInteger(), nullable=False)
        batch_op.drop_constraint(op.f("uq_experiments_idempotency_key"), type_="unique")
        batch_op.drop_column("idempotency_key")
        batch_op.drop_column("idempotency_digest")
        batch_op.drop_constraint(op.f("ck_experiments_wish"), type_="check")
        batch_op.create_check_constraint(
            op.f("ck_experiments_requested_action"), "requested_action IN ('cancel', 'pause')"
        )


def downgrade() -> None:
    op.add_column("experiments", sa.Column("idempotency_key", sa.String(length=200), nullable=True))
    op.add_column("experiments", sa.Column("idempotency_digest", sa.String(length=64), nullable=True))
    # The older schema has one key for all. Of a key that two API keys used, one experiment keeps it.
    op.execute(
        "UPDATE experiments SET idempotency_key = k.key, idempotency_digest = k.digest FROM idempotency_keys AS k "
        "WHERE k.experiment_id = experiments.id "
        "AND k.api_key = (SELECT min(same.api_key) FROM idempotency_keys AS same WHERE same.key = k.key)"
    )
    op.drop_table("idempotency_keys")
    _rewrite_experiments(_inverse)
    _rename_outcomes({new: old for old, new in OUTCOMES.items()})
    rebuilt = op.batch_alter_table("experiments", table_kwargs={"sqlite_autoincrement": True})
    with ids_kept("experiments"), rebuilt as batch_op:
        batch_op.drop_column("name")
        batch_op.drop_column("seed")
        batch_op.create_unique_constraint(op.f("uq_experiments_idempotency_key"), ["idempotency_key"])
        batch_op.drop_constraint(op.f("ck_experiments_requested_action"), type_="check")
        batch_op.create_check_constraint(op.f("ck_experiments_wish"), "requested_action IN ('cancel', 'pause')")
    _rename_columns({new: old for old, new in COLUMNS.items()})


def _rename_columns(names: Mapping[str, str]) -> None:
    # Both databases rename a column in place and in the indexes and checks that name it.
    for old, new in names.items():
        op.execute(f'ALTER TABLE experiments RENAME COLUMN "{old}" TO "{new}"')


def _rename_outcomes(names: Mapping[str, str]) -> None:
    for old, new in names.items():
        op.execute(attempts.update().where(attempts.c.outcome == old).values(outcome=new))


def _rewrite_experiments(rewritten: Callable[[dict[str, Any], Any], dict[str, Any]]) -> None:
    """Rewrite the JSON of every experiment, a batch at a time."""
    for number, spec, gradient_check in _experiments():
        op.execute(experiments.update().where(experiments.c.id == number).values(rewritten(spec, gradient_check)))


def _experiments() -> Iterator[tuple[int, dict[str, Any], Any]]:
    last = 0
    while True:
        rows = (
            op.get_bind()
            .execute(
                sa.select(experiments.c.id, experiments.c.spec, experiments.c.gradient_check)
                .where(experiments.c.id > last)
                .order_by(experiments.c.id)
                .limit(BATCH)
            )
            .all()
        )
        if not rows:
            return
        for number, spec, gradient_check in rows:
            yield number, json.loads(spec) if isinstance(spec, str) else spec, gradient_check
        last = rows[-1].id


def _with_columns(rewritten: Callable[[dict[str, Any], Any], dict[str, Any]]) -> Any:
    """Add the columns that repeat fields of the spec."""

    def values(spec: dict[str, Any], gradient_check: Any) -> dict[str, Any]:
        return rewritten(spec, gradient_check) | {"name": spec.get("name"), "seed": spec.get("seed", 0)}

    return values


def _renamed(spec: dict[str, Any], gradient_check: Any) -> dict[str, Any]:
    return _translated(spec, gradient_check, FIELDS, KINDS, MEMORY)


def _inverse(spec: dict[str, Any], gradient_check: Any) -> dict[str, Any]:
    fields, kinds, memory = ({new: old for old, new in names.items()} for names in (FIELDS, KINDS, MEMORY))
    return _translated(spec, gradient_check, fields, kinds, memory)


def _translated(
    spec: dict[str, Any],
    gradient_check: list[dict[str, Any]] | None,
    fields: Mapping[str, str],
    kinds: Mapping[str, str],
    memory: Mapping[str, str],
) -> dict[str, Any]:
    spec = {fields.get(name, name): value for name, value in spec.items()}
    if "memory" in spec:
        spec["memory"] = memory.get(spec["memory"], spec["memory"])
    if "network" in spec:
        spec["network"] = [_translated_kind(layer, kinds) for layer in spec["network"]]
    check = None if gradient_check is None else [_translated_kind(layer, kinds) for layer in gradient_check]
    return {"spec": spec, "gradient_check": sa.null() if check is None else check}


def _translated_kind(layer: dict[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    return layer | {"kind": kinds.get(layer["kind"], layer["kind"])}
