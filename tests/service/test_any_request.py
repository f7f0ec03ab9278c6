"""Requests generated from the OpenAPI document, valid and invalid: no server errors, and responses of their schemas."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from service.app import create_app
from service.settings import ServiceSettings

pytestmark = pytest.mark.slow

DOCUMENT = create_app(ServiceSettings()).openapi()
OPERATIONS = [
    (path, method)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if "parameters" in operation or "requestBody" in operation
]


class TestAnyRequest:
    @pytest.mark.parametrize("mode", GenerationMode)
    @pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
    def test_no_server_error(self, client, recorded, path, method, mode):
        """No generated request makes the service fail, and every response fits its schema."""
        client.app.openapi_schema = DOCUMENT  # the same for every application, and most of the test's time to generate
        operation = schemathesis.openapi.from_asgi("/openapi.json", client.app)[path][method]

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy(generation_mode=mode))
        def answer_fits(case):
            # Schemathesis cancels a request after 10 s, and on a busy machine the first figure takes longer.
            case.call_and_validate(checks=[not_a_server_error, response_schema_conformance], timeout=120)

        answer_fits()
