"""Posting an experiment: what is accepted, what is refused and how, and what an idempotency key does."""

import pytest

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.size_estimate import estimate
from service.routes.examples import EXAMPLES
from tests.service.clients import bearing, client_of, problem

BAD = {
    "an unknown field": ({"epoch": 3}, "epoch", "3"),
    "a value out of range": ({"epochs": 0}, "epochs", "0"),
    "a network that does not fit": (
        {"network": [{"kind": "convolution", "channels": 7}, {"kind": "global_average_pool"}]}, "network", "7",
    ),
    "a layer of no kind": ({"network": [{"kind": "attention"}]}, "network[0].kind", "attention"),
    "an unknown data set": ({"dataset": "imagenet"}, "dataset", "imagenet"),
    "a list": ([1], "body", "[1]"),
}  # fmt: skip
NOT_JSON = {
    "cut short": (b'{"epochs": 3', "expected JSON; got something else at character 12 (Expecting ',' delimiter)"),
    "nothing": (b"", "body: expected a JSON object, such as {}; got nothing or null"),
    "bytes": (b"\xff", "expected JSON in UTF-8; got other bytes at 0"),
    "bytes that begin as UTF-16 does": (b"\xff\xfe", "expected JSON in UTF-8; got what looks like UTF-16"),
    "not a number": (b'{"learning_rate": NaN}', "learning_rate: expected a number above 0 and at most 10; got NaN"),
    "endless depth": (b"[" * 5000, "at most 32 arrays and objects deep"),
    "depth in a string is none": (b'{"name": "' + b"[" * 99 + b'", "epochs": 0}', "epochs: "),
    "an endless number": (b'{"seed": 1' + b"0" * 5000 + b"}", "numbers of at most 40 characters"),
}
LARGE = {
    "bytes of a checkpoint": [{"kind": "convolution", "channels": 4096, "kernel_size": 31}] * 3,
    "bytes of activations": [{"kind": "convolution", "channels": 4096}],
}


class TestAccepted:
    @pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
    def test_example_of_the_documentation(self, client, example):
        """Every example of the documentation is queued as it stands, with its fields in the spec."""
        response = client.post("/experiments", json=example["value"])
        assert response.status_code == 201
        experiment = client.get(response.headers["location"]).json()
        assert experiment == response.json()
        assert experiment["status"] == "queued"
        for field, value in example["value"].items():
            if field != "network":
                assert experiment["spec"][field] == value


class TestRefusedSpec:
    @pytest.mark.parametrize(("body", "field", "got"), BAD.values(), ids=BAD)
    def test_error_names_field_expectation_and_value(self, client, body, field, got):
        """A bad spec is refused with the field, what was expected and what was sent, and nothing is queued."""
        response = problem(client.post("/experiments", json=body), 422)
        assert {error["field"] for error in response["errors"]} == {field}
        assert response["errors"][0]["field"] == field
        assert response["errors"][0]["expected"]
        assert got in response["errors"][0]["got"]
        assert client.get("/experiments").json()["experiments"] == []

    def test_errors_of_defaults_and_unions_are_in_json_words(self, client):
        """An error of a default, or of a field of two types, shows JSON values and the one type that was meant."""
        spec = {"dataset": "digits", "normalization": "group", "group_count": 5}
        errors = problem(client.post("/experiments", json=spec), 422)["errors"]
        assert [error["field"] for error in errors] == [f"network[{index}]" for index in (2, 5, 8, 11, 14)]
        assert errors[0]["got"] == 'the object {"input": null, "kind": "normalization", "variant": null}'
        network = [{"kind": "convolution", "channels": 10, "padding": 65}, {"kind": "global_average_pool"}]
        (error,) = problem(client.post("/experiments", json={"network": network}), 422)["errors"]
        words = '"same", or a whole number from 0 to 64'
        assert error["expected"] == words
        network[0]["padding"] = "valid"
        (error,) = problem(client.post("/experiments", json={"network": network}), 422)["errors"]
        assert error["expected"] == words
        assert "an array" in problem(client.post("/experiments", json={"tags": "a"}), 422)["detail"]


class TestRefusedBody:
    @pytest.mark.parametrize(("content", "detail"), NOT_JSON.values(), ids=NOT_JSON)
    def test_not_json(self, client, content, detail):
        """A body that is not JSON of moderate depth and numbers is refused with a problem that says where."""
        response = client.post("/experiments", content=content, headers={"content-type": "application/json"})
        assert detail in problem(response, 422)["detail"]

    def test_other_content_type(self, client):
        """A body of another content type is refused, and the problem names the header to send."""
        response = client.post("/experiments", content=b"{}", headers={"content-type": "text/plain"})
        assert "content-type: application/json; got text/plain" in problem(response, 415)["detail"]

    def test_over_a_million_bytes(self, client):
        """A body of more than a million bytes is refused."""
        problem(client.post("/experiments", json={"name": "x" * 1_000_001}), 413)

    def test_very_many_items(self, client):
        """A body of very many items is refused, with at most 20 errors in a short response."""
        for body in ({"capture_quantities": [0] * 300_000}, {"tags": [1] * 20_000}, {"network": [{}] * 20_000}):
            response = client.post("/experiments", json=body)
            assert "at most 10,000 items" in problem(response, 422)["detail"]
        response = client.post("/experiments", json={"tags": [1] * 5_000, "x" * 900_000: 1})
        assert len(problem(response, 422)["errors"]) == 20
        assert len(response.content) < 20_000
        assert client.post("/experiments", json={"capture_quantities": ["weight"] * 99}).status_code == 422


class TestRefusedSize:
    @pytest.mark.parametrize(("subject", "layers"), LARGE.items(), ids=LARGE)
    def test_too_large_to_train(self, client, subject, layers):
        """An experiment that is too large to train is refused with its estimated size, and nothing is queued."""
        network = [*layers, {"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}]
        response = problem(client.post("/experiments", json={"network": network, "batch_size": 1000}), 422)
        assert subject in response["detail"]
        assert "got about " in response["detail"]
        assert client.get("/experiments").json()["experiments"] == []

    def test_checkpoint_size_counts_the_optimizer(self, client):
        """A checkpoint of over 256 MB is refused; the optimizer's state counts, so SGD fits where Adam does not."""
        network = [{"kind": "linear", "features": 7_000}, {"kind": "linear", "features": 10}]  # 21.6 million parameters
        spec = {"dataset": "digits", "network": network}
        response = problem(client.post("/experiments", json=spec), 422)
        assert "expected at most 256,000,000; got about 258," in response["detail"]
        assert client.post("/experiments", json=spec | {"optimizer": "sgd"}).status_code == 201

    def test_estimate_of_the_studys_network(self):
        """The study's network is estimated from its shapes."""
        size = estimate(ExperimentSpec(normalization="batch"))
        maps = 16 * (48**2 + 24**2 + 12**2 + 6**2 + 6**2) * 3 + 2 * 10 * 36 + 10
        assert size.checkpoint_bytes == 3 * 4 * 11_088
        assert size.activation_bytes == 4 * 500 * 2 * 16 * 48**2  # of a test batch
        wide = estimate(ExperimentSpec(normalization="batch", batch_size=500))
        assert wide.activation_bytes == 4 * 500 * (3 * 96**2 + maps)

    def test_too_many_steps(self, client):
        """A training of more steps than the database can count is refused."""
        spec = {"dataset": "fashion_mnist", "batch_size": 1, "epochs": 100_000, "image_size": 32}
        assert "training steps" in problem(client.post("/experiments", json=spec), 422)["detail"]


class TestIdempotencyKey:
    KEY = {"idempotency-key": "once"}  # noqa: RUF012

    def test_same_body_is_answered_as_before(self, client):
        """A repeated key with the same body has the first response, and with another body it is refused."""
        first = client.post("/experiments", json={"epochs": 3}, headers=self.KEY)
        again = client.post("/experiments", json={"epochs": 3}, headers=self.KEY)
        assert (again.status_code, again.json()) == (201, first.json())
        other = client.post("/experiments", json={"epochs": 4}, headers=self.KEY)
        assert "another body" in problem(other, 422)["detail"]
        assert len(client.get("/experiments").json()["experiments"]) == 1

    def test_belongs_to_its_api_key(self, sqlite, api_key):
        """Two API keys can use one idempotency key, even for different bodies, and each gets its own experiment."""
        mine, yours = bearing(api_key("write")), bearing(api_key("write"))
        with client_of(sqlite.url, require_key=True) as client:
            first = client.post("/experiments", json={"epochs": 3}, headers=self.KEY | mine)
            second = client.post("/experiments", json={"epochs": 4}, headers=self.KEY | yours)
            assert (first.status_code, second.status_code) == (201, 201)
            assert first.json()["id"] != second.json()["id"]
            again = client.post("/experiments", json={"epochs": 4}, headers=self.KEY | yours)
            assert again.json() == second.json()
            problem(client.post("/experiments", json={"epochs": 3}, headers=self.KEY | yours), 422)
            assert len(client.get("/experiments", headers=mine).json()["experiments"]) == 2

    def test_requests_without_api_key_share_theirs(self, sqlite, client, api_key):
        """Requests without an API key share their idempotency keys, apart from those of any API key."""
        first = client.post("/experiments", json={}, headers=self.KEY)
        with_key = client.post("/experiments", json={}, headers=self.KEY | bearing(api_key("write")))
        assert with_key.json()["id"] != first.json()["id"]
        assert client.post("/experiments", json={}, headers=self.KEY).json()["id"] == first.json()["id"]
