"""The condition that a stored spec has a value: JSON is compared with JSON, on both databases."""

import json
from typing import Any

from sqlalchemy import ColumnElement, cast, func, or_
from sqlalchemy.dialects.postgresql import JSONB

from normlab.spec.experiment import ExperimentSpec
from normlab.store.models import Experiment


def spec_has(dialect: str, field: str, value: Any) -> ColumnElement[bool]:
    """The condition that the spec has this value of a field. A spec of an older release has a new field's default.

    dialect: the database's, `sqlite` or `postgresql`. value: None, or one text, number or truth value.
    """
    # NULL if the field is null and if the spec lacks it. The default of a field that may be null is null.
    is_absent: ColumnElement[bool] = Experiment.spec[field].as_string().is_(None)
    if value is None:
        return is_absent
    is_equal = _equal(dialect, field, value)
    return or_(is_equal, is_absent) if value == ExperimentSpec.model_fields[field].default else is_equal


def _equal(dialect: str, field: str, value: Any) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return cast(Experiment.spec[field], JSONB) == cast(value, JSONB)
    # SQLite's parser may round the last digit of a number. It parses both sides here, so equal texts are equal numbers.
    stored = func.json_extract(Experiment.spec, f"$.{field}")
    is_equal: ColumnElement[bool] = stored == func.json_extract(json.dumps(value), "$")
    return is_equal
