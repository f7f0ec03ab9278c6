"""The OpenAPI document: it is valid, and describes each response, each problem and each parameter."""

import json

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from normlab.spec import gradient_check, record_responses, responses, service_responses
from normlab.spec.lifecycle import AttemptOutcome, RequestedAction, Status
from service.app import create_app
from service.http.openapi import SCHEME, operations, response_examples
from service.routes.examples import EXAMPLES
from service.settings import ServiceSettings

DOCUMENT = create_app(ServiceSettings()).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [pytest.param(operation, id=name) for name, operation in operations(DOCUMENT)]
WITH_BODY = {"408", "413", "415"}  # statuses that only a body causes
EVERYWHERE = {"401", "403", "421", "422", "429", "500", "503"}
MODELS = {
    name: model
    for module in (responses, gradient_check, record_responses, service_responses)
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
    if model not in (record_responses.CapturedQuantity, responses.ExperimentSummary)  # the fields that two models share
}


def without_provenance(answer):
    """The answer of an experiment without its provenance, which leaves out what is not known."""
    return {name: value for name, value in answer.items() if name != "provenance"}


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

    def test_is_valid(self):
        """An independent validator finds no error in the document."""
        assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []

    def test_is_yaml(self, client):
        """A reader of YAML reads the same from the served document as one of JSON."""
        text = client.get("/openapi.json").text
        # PyYAML reads YAML 1.1, which takes a number such as 1e-30 for text.
        expected = json.loads(text, parse_float=yaml.safe_load)
        assert yaml.load(text, yaml.CSafeLoader) == expected


class TestSecurity:
    def test_routes_name_their_scope(self):
        """Each route names the scope that it needs. Where keys are needed, only the health checks are open."""
        document = create_app(ServiceSettings(require_key=True)).openapi()
        assert document["components"]["securitySchemes"][SCHEME]["scheme"] == "bearer"
        security = {name: operation["security"] for name, operation in operations(document)}
        assert {name.split()[1] for name, schemes in security.items() if schemes == []} == {"/livez", "/readyz"}
        for name, schemes in security.items():
            if schemes:
                assert schemes == [{SCHEME: ["read" if name.startswith("GET") else "write"]}], name

    def test_key_is_optional_on_loopback(self):
        """Without the need of a key, each route can be used with and without one."""
        assert all(operation["security"][:1] in ([], [{}]) for _, operation in operations(DOCUMENT))


class TestStatuses:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_are_those_that_can_happen(self, operation):
        """What a body causes is documented for the routes with a body alone. What any request may cause, for all."""
        statuses = set(operation["responses"])
        assert statuses >= EVERYWHERE
        assert statuses & WITH_BODY == (WITH_BODY if "requestBody" in operation else set())


class TestAnswers:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_example_fits_its_model(self, operation):
        """Every JSON response has an example with exactly the fields of its model."""
        for status, response in operation["responses"].items():
            if status < "300" and "application/json" in (content := response.get("content", {})):
                model = MODELS[content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
                example = content["application/json"]["example"]
                answer = model.model_validate_json(json.dumps(example), extra="forbid")
                assert answer.model_dump(mode="json", exclude={"provenance"}) == without_provenance(example)

    def test_examples_are_all_used(self):
        """Each example is of a route that exists."""
        assert set(response_examples()) <= {name for name, _ in operations(DOCUMENT)}

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
