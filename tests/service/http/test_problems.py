"""Errors as problem documents."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from normlab.spec.expectations import MAX_VALUE_LENGTH
from normlab.spec.service_responses import Problem
from service.http.problems import map_errors
from tests.service.clients import problem


class Named(BaseModel):
    name: str


def response_to(body):
    """The response of an application that no middleware guards."""
    app = FastAPI()
    map_errors(app)

    @app.post("/")
    def take(named: Named) -> Any: ...

    return TestClient(app, raise_server_exceptions=False).post(
        "/", content=body, headers={"content-type": "application/json"}
    )


class TestProblems:
    def test_deep_value_is_shortened(self):
        """A refused value is repeated in short, at any depth."""
        for depth in (1, 10, 250, 300, 900):
            response = response_to(b'{"name": ' + b"[" * depth + b"]" * depth + b"}")
            assert response.status_code == 422
            assert response.json()["errors"][0]["got"].startswith("the array " + "[" * min(depth, 6))
            assert len(response.json()["detail"]) < 2 * MAX_VALUE_LENGTH

    def test_fits_its_model(self, client):
        """A problem document, with and without errors, fits the model that the OpenAPI document names."""
        invalid = Problem.model_validate_json(client.post("/experiments", json={"epochs": 0}).content, strict=True)
        assert (invalid.status, invalid.errors[0].field) == (422, "epochs")
        unknown = Problem.model_validate_json(client.get("/experiments/1").content, strict=True)
        assert (unknown.status, unknown.title, unknown.errors) == (404, "Not Found", [])

    def test_unknown_routes_and_methods(self, client):
        """An unknown address is 404, and an unknown method is 405 with every method of the address."""
        problem(client.get("/nowhere"), 404)
        problem(client.put("/experiments"), 405)
        for path, methods in {
            "/experiments": "GET, HEAD, OPTIONS, POST", "/experiments/1": "DELETE, GET, HEAD, OPTIONS, PATCH",
            "/experiments/1/plots/a.png": "GET, HEAD, OPTIONS", "/livez": "GET, HEAD, OPTIONS",
            "/docs": "GET, HEAD, OPTIONS", "/experiments/1/cancel": "OPTIONS, POST",
        }.items():  # fmt: skip
            refused = client.put(path)
            assert refused.headers["allow"] == methods
            assert problem(refused, 405)["detail"] == f"{path} has no PUT; it has {methods}"
            assert (client.options(path).status_code, client.options(path).headers["allow"]) == (204, methods)

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("/experiment", "/experiments"), ("/experiments/", "/experiments"), ("/doc", "/docs"), ("/healthz", None),
            ("/experiments/7/metric", "/experiments/7/metrics"), ("/Experiments/7/plot", "/experiments/7/plots"),
            ("/experiments/7/metrics/", "/experiments/7/metrics"), ("/experiments/7/plots/loss", None),
            ("/plots/loss.png", None), ("/", None), ("/" + "experiments/" * 300, None),
        ],
    )  # fmt: skip
    def test_unknown_address_names_a_close_one(self, client, path, meant):
        """The problem of an unknown address names one that is like it, if there is one, and no redirect is sent."""
        hint = "/docs lists the addresses" if meant is None else f"did you mean {meant}?"
        assert problem(client.get(path, follow_redirects=False), 404)["detail"].endswith(f"; {hint}")
