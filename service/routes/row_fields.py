"""The parameter `fields` of the list: which fields its rows have, and the rows with these fields."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.orm import Session

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.responses import ExperimentResponse, ExperimentSummary, ProgressResponse
from normlab.store.listing import summaries, tags_of, whole_experiments
from service.http.problems import MAX_ERRORS
from service.http.query_parameters import parameter_error, unknown_name
from service.routes.responses import experiment_response, summary_values

Paths = Mapping[str, set[str] | bool]  # by field: the fields inside it, or True for the whole

WITH_FIELDS: dict[str, type[BaseModel]] = {"spec": ExperimentSpec, "progress": ProgressResponse}


def _paths() -> Iterator[str]:
    for name in ExperimentResponse.model_fields:
        yield name
        if name in WITH_FIELDS:
            yield from (f"{name}.{inner}" for inner in WITH_FIELDS[name].model_fields)


PATHS = dict.fromkeys(_paths())
_PATH = "|".join(PATHS).replace(".", r"\.")
PATHS_PATTERN = f"^({_PATH})(,({_PATH}))*$"


def parse_fields(fields: str | None) -> Paths | None:
    """Return the fields of a comma-separated list. Raises RequestValidationError that names each unknown one."""
    if fields is None:
        return None
    paths = dict.fromkeys(fields.split(","))
    if unknown := [path for path in paths if path not in PATHS]:
        raise RequestValidationError([_unknown(path) for path in unknown[:MAX_ERRORS]])
    chosen: dict[str, set[str] | bool] = {}
    for path in paths:
        name, _, inner = path.partition(".")
        earlier = chosen.setdefault(name, set())
        if not inner:
            chosen[name] = True
        elif isinstance(earlier, set):
            earlier.add(inner)
    return chosen


def rows_of(session: Session, ids: Sequence[int], paths: Paths | None) -> list[dict[str, Any]]:
    """Return the rows of these experiments as plain values. paths: the fields of each; None: a summary."""
    if paths is None or paths.keys() <= ExperimentSummary.model_fields.keys():
        tags = tags_of(session, ids)
        rows = [summary_values(row, tags[row.id]) for row in summaries(session, ids)]
        return rows if paths is None else [_chosen(row, paths) for row in rows]
    experiments = whole_experiments(session, ids)
    return [experiment_response(each).model_dump(mode="json", include=dict(paths)) for each in experiments]


def _chosen(row: Mapping[str, Any], paths: Paths) -> dict[str, Any]:
    return {
        name: row[name] if isinstance(inner, bool) else {each: row[name][each] for each in inner}
        for name, inner in paths.items()
    }


def _unknown(path: str) -> dict[str, Any]:
    return parameter_error("fields", unknown_name("field", path, PATHS, "An experiment"), path)
