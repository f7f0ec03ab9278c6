"""The OpenAPI document and its page, open to all: they say what there is, not what is in it."""

from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from service.authorization import needs, routes

router = routes(tag="documentation")


@router.get("/openapi.json", include_in_schema=False)
@needs("nothing")
def openapi(request: Request) -> dict[str, Any]:
    """The document."""
    described: dict[str, Any] = request.app.openapi()
    return described


@router.get("/docs", include_in_schema=False)
@needs("nothing")
def docs() -> HTMLResponse:
    """Swagger's page of it."""
    return get_swagger_ui_html(openapi_url="/openapi.json", title="normlab")
