"""Databases at older revisions, with the rows that a release of that time wrote."""

import base64
import json
from pathlib import Path

from alembic import command
from sqlalchemy import MetaData, func, select

from normlab.store.schema import migrating

DUMP = json.loads(Path(__file__).with_name("revision_0005.json").read_text())
PROCESSOR = DUMP.pop("processor")  # that the trainings of the dump ran on
REVISIONS = ("0001", "0002", "0003", "0004", "0005")  # before 0006
JSON_COLUMNS = ("spec", "provenance", "gradient_check")
OF_0003 = ("group", "priority", "attempts_before", "wish", "max_run_seconds")  # columns of the experiments


def upgrade(database, revision):
    """Bring the schema up to a revision."""
    with migrating(database) as config:
        command.upgrade(config, revision)


def downgrade(database, revision):
    """Bring the schema down to a revision."""
    with migrating(database) as config:
        command.downgrade(config, revision)


def make(database, revision):
    """Create the schema of a revision and insert the rows of the dump, as far as the revision can hold them."""
    upgrade(database, revision)
    metadata = MetaData()
    metadata.reflect(database.writer)
    rows = _rows_at(revision)
    with database.writer.begin() as connection:
        for table in reversed(metadata.sorted_tables):  # the migrations themselves have inserted a group
            if table.name in rows:
                connection.execute(table.delete())
        for table in metadata.sorted_tables:
            for row in rows.get(table.name, ()):
                # A column that is left out is NULL. A None would be the JSON value null.
                connection.execute(table.insert().values({name: row[name] for name in row if row[name] is not None}))
        if connection.dialect.name == "postgresql":
            last = max(row["id"] for row in rows["experiments"])
            connection.execute(select(func.setval("experiments_id_seq", last)))


def rows_of(database):
    """Return the rows of every table but Alembic's, by table, each table's in the order of its primary key."""
    metadata = MetaData()
    metadata.reflect(database.reader)
    with database.reader.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
            for name, table in metadata.tables.items()
            if name != "alembic_version"
        }


def _rows_at(revision):
    rows = {name: [_values(row) for row in DUMP[name]] for name in DUMP if name != "alembic_version"}
    if revision < "0004":
        del rows["api_keys"], rows["workers"]
    if revision < "0003":
        del rows["attempts"], rows["experiment_groups"]
        rows["checkpoints"] = list(_of_whole_epochs(rows["checkpoints"], rows["experiments"]))
        for row in rows["experiments"]:
            row["cancel_requested"] = row["wish"] is not None
            row["status"] = "queued" if row["status"] == "paused" else row["status"]
            for name in OF_0003:
                del row[name]
    if revision < "0002":
        for row in rows["experiments"]:
            del row["gradient_check"]
    return rows


def _of_whole_epochs(checkpoints, experiments):
    """Before revision 0003 a checkpoint was named by its epoch, and none was stored within an epoch."""
    experiments = {row["id"]: row for row in experiments}
    for row in checkpoints:
        experiment = experiments[row["experiment_id"]]
        epochs, rest = divmod(row.pop("step"), experiment["steps_total"] // experiment["spec"]["epochs"])
        if not rest:
            yield row | {"epoch": epochs - 1}


def _values(row):
    return {name: _value(name, value) for name, value in row.items()}


def _value(name, value):
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return json.loads(value) if name in JSON_COLUMNS and value is not None else value
