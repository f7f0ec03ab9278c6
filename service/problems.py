"""Every error as a problem document (RFC 9457), mapped in this one place."""

import json
import logging
import reprlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from normlab.store.database import TRANSIENT_ERRORS, message_of
from normlab.store.errors import IdempotencyKeyReused, InvalidState, NoSuchExperiment, NoSuchGroup

log = logging.getLogger(__name__)

MAX_VALUE_LENGTH = 200  # characters of a refused value that a response repeats
MAX_ERRORS = 20  # errors of one request that a response lists
EXPECTED = {  # by pydantic's type of error, where pydantic's own message says too little
    "extra_forbidden": "no field of this name; /docs lists the fields",
    "model_attributes_type": "an object, such as {}",
    "missing": "a value",
    "tuple_type": "a list",
}
CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


class _ProblemResponse(JSONResponse):
    """A problem document. A refused value may hold half of a surrogate pair, which is not Unicode: it is escaped."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8", "backslashreplace"
        )


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """Return one problem document."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return _ProblemResponse(body, status)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what a route's `responses` say about the problem documents of these statuses."""
    return {status: {"description": HTTPStatus(status).phrase, "content": CONTENT} for status in statuses}


def database_unavailable(error: Exception) -> JSONResponse:
    """Return the 503 for a request while the database is unreachable, full or busy for too long."""
    log.warning("the database did not answer: %s", message_of(error))
    response = problem(503, "the database does not answer; try again in a few seconds")
    response.headers["retry-after"] = "5"
    return response


def map_errors(app: FastAPI) -> None:
    """Register the response to each kind of error."""
    for kind, status in ((NoSuchExperiment, 404), (NoSuchGroup, 404), (InvalidState, 409), (IdempotencyKeyReused, 422)):
        app.add_exception_handler(kind, _with_status(status))
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for transient in TRANSIENT_ERRORS:
        app.add_exception_handler(transient, _database_unavailable)


def _with_status(status: int) -> Any:
    def handle(request: Request, error: Exception) -> JSONResponse:
        return problem(status, str(error))

    return handle


def _database_unavailable(request: Request, error: Exception) -> JSONResponse:
    return database_unavailable(error)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RecursionError | ValueError):  # from the parser of the body, but no syntax error
        return problem(422, f"body: expected JSON of moderate depth and numbers; got {error.__cause__}")
    response = problem(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    if error.status_code == 405 and (methods := _methods_at(request)):
        response.headers["allow"] = ", ".join(methods)  # Starlette names the methods of the path's first route alone
    return response


def _methods_at(request: Request) -> list[str]:
    """Return every method that the OpenAPI document has for this address."""
    documented = request.app.openapi()["paths"].items()
    return sorted({method.upper() for path, methods in documented if _matches(path, request) for method in methods})


def _matches(path: str, request: Request) -> bool:
    return compile_path(path)[0].match(request.url.path) is not None


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Name each invalid field, what was expected and what was sent."""
    assert isinstance(error, RequestValidationError)
    # A path that holds no valid id names no experiment, like an unknown id.
    if any(each["loc"][0] == "path" for each in error.errors()):
        return problem(404, f"there is nothing at {request.url.path}")
    # A default that depends on an invalid field has an error of its own, which explains nothing.
    explained = [each for each in error.errors() if each["type"] != "default_factory_not_called"]
    errors = [_field_error(each) for each in explained[:MAX_ERRORS]]
    first = errors[0]
    return problem(422, f"{first['field']}: {first['expected']}; got {first['got']}", errors=errors)


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """Return one of pydantic's errors as a FieldError's fields."""
    if error["type"] == "json_invalid":
        return {
            "field": "body",
            "expected": "expected JSON",
            "got": f"{error['ctx']['error']} at character {error['loc'][1]}",
        }
    expected = EXPECTED.get(error["type"], error["msg"].removeprefix("Value error, "))
    field = ".".join(str(part) for part in error["loc"] if part not in ("body", "query")) or "body"
    return {"field": field[:MAX_VALUE_LENGTH], "expected": expected, "got": _shortened(error.get("input"))}


def _shortened(value: Any) -> str:
    try:
        text = repr(to_jsonable_python(value, fallback=repr))  # a default may be an object of ours, which is no JSON
    except ValueError:  # a key holds half of a surrogate pair, or the value is too deep; reprlib stops at some depth
        text = reprlib.repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + "…"
