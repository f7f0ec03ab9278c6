"""Errors as problem documents, of an application that nothing guards."""

from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from service.problems import MAX_VALUE_LENGTH, map_errors


class Named(BaseModel):
    name: str


def answer_to(body):
    app = FastAPI()
    map_errors(app)

    @app.post("/")
    def take(named: Named) -> Any: ...

    return TestClient(app, raise_server_exceptions=False).post(
        "/", content=body, headers={"content-type": "application/json"}
    )


def test_a_refused_value_is_told_in_short_however_deep_it_is():
    for depth in (1, 10, 250, 300, 900):
        told = answer_to(b'{"name": ' + b"[" * depth + b"]" * depth + b"}")
        assert told.status_code == 422
        assert told.json()["errors"][0]["got"].startswith("[" * min(depth, 6))
        assert len(told.json()["detail"]) < 2 * MAX_VALUE_LENGTH
