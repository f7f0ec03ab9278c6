"""Filters of the list by the spec: a query parameter `spec.FIELD` for each field that has a single value.

Each has the type and the limits of its field, so that `1e-2` equals 0.01 and an impossible value is refused.
"""

from inspect import Parameter, Signature
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi import Query, Request
from pydantic import BeforeValidator

from normlab.spec.experiment import ExperimentSpec

PREFIX = "spec."


def spec_filters(request: Request, **values: Any) -> dict[str, Any]:
    """Return the values of the given filters, by field."""
    return {field: value for field, value in values.items() if PREFIX + field in request.query_params}


def _null(value: Any) -> Any:
    return None if value == "null" else value


def _parameter(field: str, annotation: Any) -> Parameter:
    description = f"Only experiments whose spec has this value of `{field}`."
    types = [annotation]
    if NoneType in get_args(get_args(annotation)[0]):
        description += " `null`: only those whose spec has none."
        types.append(BeforeValidator(_null))
    query = Query(alias=PREFIX + field, description=description)
    return Parameter(field, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[(*types, query)])


def _has_single_values(annotation: Any) -> bool:
    return get_origin(get_args(annotation)[0]) is not tuple


_HINTS = get_type_hints(ExperimentSpec, include_extras=True)
# FastAPI reads the parameters of a dependency from its signature.
spec_filters.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        Parameter("request", Parameter.POSITIONAL_OR_KEYWORD, annotation=Request),
        *(
            _parameter(field, _HINTS[field])
            for field in ExperimentSpec.model_fields
            if _has_single_values(_HINTS[field])
        ),
    ]
)
