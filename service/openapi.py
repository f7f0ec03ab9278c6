"""FastAPI with one more schema in its OpenAPI document: the problem document, which every route refers to."""

from typing import Any

from fastapi import FastAPI

from normlab.spec.service_responses import Problem


class DocumentedFastAPI(FastAPI):
    """FastAPI documents a model with a route's own media type alone, and problems are application/problem+json."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"].update(schema.pop("$defs"), Problem=schema)
        return document
