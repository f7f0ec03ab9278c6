"""Requests made up from the OpenAPI document, hostile ones too: none fails the service, every answer is as written."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from service.app import create_app
from service.settings import ServiceSettings

OPERATIONS = [
    (path, method)
    for path, methods in create_app(ServiceSettings()).openapi()["paths"].items()
    for method, described in methods.items()
    if "parameters" in described or "requestBody" in described
]


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_no_request_makes_the_service_fail(client, recorded, path, method, mode):
    operation = schemathesis.openapi.from_asgi("/openapi.json", client.app)[path][method]

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy(generation_mode=mode))
    def every_answer_is_one_of_ours(case):
        case.call_and_validate(checks=[not_a_server_error, response_schema_conformance])

    every_answer_is_one_of_ours()
