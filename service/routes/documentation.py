"""The OpenAPI document and its page. Both are open to everybody: they describe the routes and hold no stored data.

The page is Swagger UI. Its scripts come from a package, so it works without internet.
"""

from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import Path, Request
from fastapi.responses import HTMLResponse, Response
from fastapi_swagger import resources

from service.http.authorization import guarded_router, needs

router = guarded_router(tag="documentation")

# The addresses are relative, so that they hold behind a proxy that adds a prefix.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>normlab</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Without a validatorUrl, Swagger UI would ask a server of its authors about the document.
START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, persistAuthorization: true, validatorUrl: null,
});
"""
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
Asset = Literal["start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"]


@router.get("/openapi.json", include_in_schema=False)
@needs("nothing")
def openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    return document


@router.get("/docs", include_in_schema=False, response_class=HTMLResponse)
@needs("nothing")
def docs() -> str:
    """Return Swagger UI's page of the document."""
    return PAGE


@router.get("/docs/{asset}", include_in_schema=False, response_class=Response)
@needs("nothing")
def part(asset: Annotated[Asset, Path(description="Name of a file that the page loads.")]) -> Response:
    """Return a script, the styles or the icon of the page."""
    content = START.encode() if asset == "start.js" else files(resources).joinpath(asset).read_bytes()
    return Response(content, media_type=MEDIA_TYPES[asset.rpartition(".")[2]])
