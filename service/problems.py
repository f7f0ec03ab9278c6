"""Every error as a problem document (RFC 9457), mapped in this one place."""

import asyncio
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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from normlab.store.database import TRANSIENT_ERRORS, message_of
from normlab.store.errors import IdempotencyKeyReused, InvalidState, NoSuchExperiment, NoSuchGroup

log = logging.getLogger(__name__)

MAX_VALUE_LENGTH = 200  # characters of a refused value that are sent back
MAX_ERRORS = 20  # things wrong with one request that are
EXPECTED = {  # where pydantic's own words say too little
    "extra_forbidden": "no field of this name; /docs has those that there are",
    "model_attributes_type": "an object, such as {}",
    "missing": "a value",
    "tuple_type": "a list",
}


PROBLEM = {  # as the OpenAPI document has it
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What was expected and what came, or what to try."},
        "errors": {
            "type": "array",
            "description": "With 422: each thing that is wrong.",
            "items": {
                "type": "object",
                "required": ["field", "expected", "got"],
                "properties": {name: {"type": "string"} for name in ("field", "expected", "got")},
            },
        },
    },
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: that it may answer these, as problem documents."""
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


class _Problem(JSONResponse):
    """Of what came some may be no Unicode, such as half of a surrogate pair: it is answered escaped."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8", "backslashreplace"
        )


class UnhandledErrors:
    """An ASGI application around ours: what nobody foresaw is a problem too, with all that the door adds to answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 500, or 503 if it must stop, unless an answer has begun; then it can only break off."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:  # the service is told to stop, and has waited for this long enough
            if begun or scope["type"] != "http":
                raise
            answer = problem(503, "the service stops; ask again when it is back")
            answer.headers["retry-after"] = "5"
            await answer(scope, receive, send)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            log.error("a request failed", exc_info=error)
            await problem(500, "the service failed at this request; its log says how")(scope, receive, send)


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """One problem document."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return _Problem(body, status)


def database_away(error: Exception) -> JSONResponse:
    """What is answered while the database is away, full or busy for too long."""
    log.warning("the database did not answer: %s", message_of(error))
    answer = problem(503, "the database does not answer; try again in some seconds")
    answer.headers["retry-after"] = "5"
    return answer


def map_errors(app: FastAPI) -> None:
    """Say what each error of ours is in HTTP."""
    for kind, status in ((NoSuchExperiment, 404), (NoSuchGroup, 404), (InvalidState, 409), (IdempotencyKeyReused, 422)):
        app.add_exception_handler(kind, _with_status(status))
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for away in TRANSIENT_ERRORS:
        app.add_exception_handler(away, _database_away)


def _with_status(status: int) -> Any:
    def handle(request: Request, error: Exception) -> JSONResponse:
        return problem(status, str(error))

    return handle


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RecursionError | ValueError):  # of the body's parser, not of its grammar
        return problem(422, f"body: expected JSON of sensible depth and numbers; got {error.__cause__}")
    answer = problem(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    if error.status_code == 405 and (methods := _methods_at(request)):
        answer.headers["allow"] = ", ".join(methods)  # Starlette's own names those of the path's first route alone
    return answer


def _methods_at(request: Request) -> list[str]:
    """All that the documentation has for this address."""
    documented = request.app.openapi()["paths"].items()
    return sorted({method.upper() for path, methods in documented if _is_of(path, request) for method in methods})


def _is_of(path: str, request: Request) -> bool:
    return compile_path(path)[0].match(request.url.path) is not None


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Name each field, what was expected and what came."""
    assert isinstance(error, RequestValidationError)
    # An id that is no id names no experiment, as an unknown one does.
    if any(found["loc"][0] == "path" for found in error.errors()):
        return problem(404, f"there is nothing at {request.url.path}")
    # A default that waits for another field has nothing to say of itself.
    told = [found for found in error.errors() if found["type"] != "default_factory_not_called"]
    errors = [_one(found) for found in told[:MAX_ERRORS]]
    first = errors[0]
    return problem(422, f"{first['field']}: {first['expected']}; got {first['got']}", errors=errors)


def _one(found: Mapping[str, Any]) -> dict[str, str]:
    """One thing that is wrong: where, what was expected there and what came."""
    if found["type"] == "json_invalid":
        return {
            "field": "body",
            "expected": "expected JSON",
            "got": f"{found['ctx']['error']} at character {found['loc'][1]}",
        }
    expected = EXPECTED.get(found["type"], found["msg"].removeprefix("Value error, "))
    field = ".".join(str(part) for part in found["loc"] if part not in ("body", "query")) or "body"
    return {"field": field[:MAX_VALUE_LENGTH], "expected": expected, "got": _shortened(found.get("input"))}


def _database_away(request: Request, error: Exception) -> JSONResponse:
    return database_away(error)


def _shortened(value: Any) -> str:
    try:
        text = repr(to_jsonable_python(value, fallback=repr))  # a default may be ours, and no JSON yet
    except ValueError:  # half of a surrogate pair in a key, or too deep; reprlib goes down some levels only
        text = reprlib.repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + "…"
