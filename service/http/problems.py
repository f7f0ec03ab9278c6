"""Every error as a problem document (RFC 9457), mapped in this one place."""

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from normlab.store.database import TRANSIENT_ERRORS, Database, message_of
from normlab.store.errors import IdempotencyKeyReused, InvalidState, NoSuchExperiment, NoSuchGroup
from service.http.etags import ALWAYS_REVALIDATE
from service.http.validation_messages import Document, fault, without_consequences

log = logging.getLogger(__name__)

MAX_ERRORS = 20  # errors of one request that a response lists
MAX_VALUE_LENGTH = 200  # characters of an address that a response repeats
CLIENT_CLOSED = 499  # the status that is logged if the client closed the connection before it had a response
REASONS = {  # by status: when a route returns a problem document
    401: "The API key is missing where one is needed, or it is invalid or revoked.",
    403: "The API key's scope does not suffice, or a page of another origin sent the request.",
    404: "There is no such experiment, group, figure or record. The detail names what there is.",
    406: "The response has none of the media types that the header Accept names.",
    408: "The body did not arrive in time.",
    409: "The experiment's state does not allow the request.",
    413: "The body is too large.",
    415: "The body is not JSON, or has a Content-Encoding.",
    421: "The Host is none of the service's names.",
    422: "A parameter or a field of the body is invalid. `errors` names each.",
    429: "The API key has made too many requests.",
    500: "An error in the service. Its log has the details.",
    503: "The database is unavailable, the service stops, or figures cannot be rendered now. Try again.",
}
_SECONDS = {"description": "Number of seconds after which to try again.", "schema": {"type": "integer"}}
_SCHEME = {"description": "The scheme that authenticates: Bearer.", "schema": {"type": "string"}}
HEADERS = {401: {"WWW-Authenticate": _SCHEME}, 429: {"Retry-After": _SECONDS}, 503: {"Retry-After": _SECONDS}}
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
    return {
        status: {"description": REASONS[status], "headers": HEADERS.get(status, {}), "content": CONTENT}
        for status in statuses
    }


def database_unavailable(error: Exception, database: Database, subject: str = "the database") -> JSONResponse:
    """Return the 503 for a request while the database is unreachable, full or busy for too long.

    subject: what the response calls the database. The log names it always.
    """
    log.warning("database %s did not answer: %s", database.location, message_of(error))
    response = problem(503, f"{subject} does not answer; try again in a few seconds")
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
    state = request.app.state
    return database_unavailable(error, state.database, state.readiness.subject)


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
    explained = without_consequences(error.errors())
    document = Document.of(request.app.openapi(), request.scope["route"].path_format, request.method)
    faults = [fault(each, document, error.body) for each in explained[:MAX_ERRORS]]
    others = len(explained) - 1
    more = f" (and {others} more: see errors)" if others else ""
    return problem(422, faults[0].sentence + more, errors=[each.fields for each in faults])
