"""The OpenAPI document: it describes each response, each problem and each parameter."""

import pytest
from pydantic import BaseModel

from normlab.spec import gradient_check, record_responses, responses, service_responses
from normlab.spec.lifecycle import AttemptOutcome, RequestedAction, Status
from service.app import create_app
from service.routes.examples import EXAMPLES
from service.settings import ServiceSettings

DOCUMENT = create_app(ServiceSettings()).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    pytest.param(operation, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
MODELS = {
    name: model
    for module in (responses, gradient_check, record_responses, service_responses)
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
    if model not in (record_responses.CapturedQuantity, responses.ExperimentSummary)  # the fields that two models share
}


class TestDocument:
    def test_is_served_with_the_examples(self, client):
        """The served document has the examples, and every field of a spec has a description."""
        openapi = client.get("/openapi.json").json()
        body = openapi["paths"]["/experiments"]["post"]["requestBody"]["content"]["application/json"]
        assert body["examples"].keys() == EXAMPLES.keys()
        assert all(
            "description" in field
            for field in openapi["components"]["schemas"]["ExperimentSpec"]["properties"].values()
        )

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_parameters_have_descriptions(self, operation):
        """Every parameter has a description."""
        assert [each["name"] for each in operation.get("parameters", []) if not each.get("description")] == []


class TestAnswers:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_json_answer_refers_to_a_model(self, operation):
        """Every JSON response refers to a model of normlab.spec by its name."""
        for status, response in operation["responses"].items():
            if status < "300" and "application/json" in response.get("content", {}):
                reference = response["content"]["application/json"]["schema"]["$ref"]
                assert reference.removeprefix("#/components/schemas/") in MODELS

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_problem_is_one_reference(self, operation):
        """Every error is application/problem+json and refers to the one model of a problem."""
        errors = {status: response for status, response in operation["responses"].items() if status >= "400"}
        assert "503" in errors
        for response in errors.values():
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }

    @pytest.mark.parametrize("name", MODELS)
    def test_fields_have_descriptions(self, name):
        """Every model of a response is in the document, and each of its fields has a description in a sentence."""
        for field, schema in SCHEMAS[name]["properties"].items():
            assert len(schema.get("description", "").split()) >= 3, field

    @pytest.mark.parametrize("kind", [Status, RequestedAction, AttemptOutcome])
    def test_enumerations_list_their_values(self, kind):
        """States, requested actions and outcomes are enumerations, and each value is explained where it is used."""
        assert SCHEMAS[kind.__name__]["enum"] == [each.value for each in kind]
        fields = [
            schema["description"]
            for name in ("ExperimentResponse", "AttemptResponse")
            for schema in SCHEMAS[name]["properties"].values()
            if f"schemas/{kind.__name__}'" in str(schema)
        ]
        assert fields
        assert all(each.description in text for text in fields for each in kind)
