"""The query parameters of a request. One that its route does not have is refused, and so is one given twice."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from normlab.spec.closest import did_you_mean
from service.http.problems import MAX_ERRORS


def parameters_of(dependant: Dependant) -> dict[str, bool]:
    """Return the query parameters of a route, and whether each may be given several times."""
    own = {field.alias: get_origin(field.field_info.annotation) in (list, tuple) for field in dependant.query_params}
    for each in dependant.dependencies:
        own |= parameters_of(each)
    return own


def check_parameters(known: Mapping[str, bool], request: Request) -> None:
    """Raises RequestValidationError for parameters that are not known, and for those of a single value given twice."""
    if errors := list(islice(_errors(known, request), MAX_ERRORS)):
        raise RequestValidationError(errors)


def parameter_error(name: str, expected: str, got: Any) -> dict[str, Any]:
    """Return an error as pydantic reports one, about a query parameter."""
    return {"type": "query_parameter", "loc": ("query", name), "msg": expected, "input": got}


def unknown_name(kind: str, name: str, known: Mapping[str, Any], owner: str) -> str:
    """Return what was expected instead of an unknown name: the known one that is closest, and those there are.

    kind: such as `field`. owner: what has them, such as `an experiment`.
    """
    question = did_you_mean(name, known)
    end = f"; {question}" if question else "."
    return f"no {kind} of this name{end} {owner} has {_listed(name, known) or 'none'}"


def _errors(known: Mapping[str, bool], request: Request) -> Iterator[dict[str, Any]]:
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if name not in known:
            expected = unknown_name("parameter", name, known, "This route")
            yield parameter_error(name, expected, request.query_params[name])
        elif count > 1 and not known[name]:
            yield parameter_error(name, "expected once, because it has one value", request.query_params.getlist(name))


def _listed(name: str, known: Mapping[str, bool]) -> str:
    """Return the known names; of those with a dot, only the ones that begin as the unknown name does in full."""
    beginning = name.partition(".")[0] + "."
    return ", ".join(
        dict.fromkeys(
            each if "." not in each or each.startswith(beginning) else each.partition(".")[0] + ".FIELD"
            for each in known
        )
    )
