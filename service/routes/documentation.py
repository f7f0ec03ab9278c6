"""The OpenAPI document and its page. Both are open to everybody: they describe the routes and hold no stored data."""

from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from service.authorization import guarded_router, needs

router = guarded_router(tag="documentation")


@router.get("/openapi.json", include_in_schema=False)
@needs("nothing")
def openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    return document


@router.get("/docs", include_in_schema=False, response_class=HTMLResponse)
@needs("nothing")
def docs() -> HTMLResponse:
    """Return Swagger's page of the document."""
    return get_swagger_ui_html(openapi_url="/openapi.json", title="normlab")
