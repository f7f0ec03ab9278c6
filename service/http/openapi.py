"""The OpenAPI document: FastAPI's own, with what FastAPI does not know of the service.

That is the schema of problem documents, the API keys, what each response is, and an example of each.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from json import loads
from typing import Any

from fastapi import FastAPI

from normlab.spec.service_responses import Problem

SCHEME = "apiKey"  # the name of the security scheme
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "normlab_ID_SECRET",
    "description": "An API key, which `python -m service key create` prints. Its scope `read` may read, and its scope "
    "`write` may do everything. On loopback no key is needed.",
}


class DocumentedFastAPI(FastAPI):
    """An application whose OpenAPI document is complete."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"].update(schema.pop("$defs"), Problem=schema)
            document["components"]["securitySchemes"] = {SCHEME: BEARER}
            _list_constants(document["components"]["schemas"])
            for name, operation in operations(document):
                if not self.state.settings.key_needed() and operation["security"]:
                    operation["security"] = [{}, *operation["security"]]  # without a key, too
                _describe_answer(name, operation, document["components"]["schemas"])
        return self.openapi_schema or {}


def _list_constants(node: Any) -> None:
    """Write each constant among alternatives as an enumeration of one value, which means the same.

    A generated client reads a value by trying the alternatives. openapi-python-client does not try another one after a
    constant.
    """
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _list_constants(child)
    if isinstance(node, dict):
        for option in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            if "const" in option:
                option["enum"] = [option.pop("const")]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the description of each operation. The name is such as `GET /experiments`."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@cache
def response_examples() -> dict[str, Any]:
    """Return a real answer of each route with a JSON response, by the operation's name."""
    examples: dict[str, Any] = loads(
        files("service.http").joinpath("response_examples.json").read_text(encoding="utf-8")
    )
    return examples


def _describe_answer(name: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Describe each successful response by its model, and add the example."""
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if status < "300" and name.startswith("HEAD "):
            content.clear()  # FastAPI documents it as the GET's
        elif status < "300" and "application/json" in content:
            model = schemas[content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
            response["description"] = model["description"]
            content["application/json"]["example"] = response_examples()[name]
