"""Every error as a problem document (RFC 9457), mapped in this one place."""

import json
import logging
import reprlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from normlab.store.database import TRANSIENT_ERRORS, message_of
from normlab.store.errors import IdempotencyKeyReused, InvalidState, NoSuchExperiment, NoSuchGroup
from service.etags import ALWAYS_REVALIDATE

log = logging.getLogger(__name__)

MAX_VALUE_LENGTH = 200  # characters of a refused value that a response repeats
MAX_ERRORS = 20  # errors of one request that a response lists
CLIENT_CLOSED = 499  # the status that is logged if the client closed the connection before it had a response
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
    # A cache may keep a 404 or 405 for some time, unless it is told otherwise.
    return _ProblemResponse(body, status, {"cache-control": ALWAYS_REVALIDATE})


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
    app.add_exception_handler(ClientDisconnect, _client_closed)
    for transient in TRANSIENT_ERRORS:
        app.add_exception_handler(transient, _database_unavailable)


def _with_status(status: int) -> Any:
    def handle(request: Request, error: Exception) -> JSONResponse:
        return problem(status, str(error))

    return handle


def _database_unavailable(request: Request, error: Exception) -> JSONResponse:
    return database_unavailable(error)


def _client_closed(request: Request, error: Exception) -> Response:
    """Return a response that nobody receives. The log has its status, which is nginx's for this case."""
    return Response(status_code=CLIENT_CLOSED)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if "endpoint" not in request.scope and error.status_code == 404:
        return _unknown_address(request)
    if error.status_code == 405:
        return _other_method(request)
    if isinstance(error.__cause__, RecursionError | ValueError):  # from the parser of the body, but no syntax error
        return problem(422, f"body: expected JSON of moderate depth and numbers; got {error.__cause__}")
    response = problem(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


def _unknown_address(request: Request) -> Response:
    path = request.url.path
    closest = request.app.state.addresses.closest_to(path)
    hint = "/docs lists the addresses" if closest is None else f"did you mean {closest}?"
    return problem(404, f"there is nothing at {path[:MAX_VALUE_LENGTH]}; {hint}")


def _other_method(request: Request) -> Response:
    """Return 204 with Allow to an OPTIONS, 405 to a method that the address does not have."""
    methods = ", ".join(request.app.state.addresses.methods_at(request.url.path))
    response = Response(status_code=204)
    if request.method != "OPTIONS":
        response = problem(405, f"{request.url.path[:MAX_VALUE_LENGTH]} has no {request.method[:20]}; it has {methods}")
    response.headers["allow"] = methods
    return response


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
