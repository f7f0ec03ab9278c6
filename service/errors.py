"""Every error as a problem document (RFC 9457), mapped in this one place."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.experiments.errors import KeyReused, NoSuchExperiment, NotNow

log = logging.getLogger(__name__)

LONGEST_VALUE = 200  # characters of a refused value that are sent back


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """One problem document."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type="application/problem+json")


def map_errors(app: FastAPI) -> None:
    """Say what each error of ours is in HTTP."""
    for kind, status in ((NoSuchExperiment, 404), (NotNow, 409), (KeyReused, 422)):
        app.add_exception_handler(kind, _with_status(status))
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def _with_status(status: int) -> Any:
    def handle(request: Request, error: Exception) -> JSONResponse:
        return problem(status, str(error))

    return handle


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Name each field, what was expected and what came."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "field": ".".join(str(part) for part in found["loc"] if part != "body") or "body",
            "expected": found["msg"].removeprefix("Value error, "),
            "got": _shortened(found.get("input")),
        }
        for found in error.errors()
    ]
    # An id that is no id names no experiment, as an unknown one does.
    if any(found["loc"][0] == "path" for found in error.errors()):
        return problem(404, f"there is nothing at {request.url.path}")
    first = errors[0]
    return problem(422, f"{first['field']}: {first['expected']}; got {first['got']}", errors=errors)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the service failed at this request; its log says how")


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
