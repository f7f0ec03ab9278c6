"""A client that openapi-python-client generates from the OpenAPI document, on a service that requires an API key."""

import importlib
import json
import subprocess
import sys
from datetime import datetime

import pytest

from service.app import create_app
from service.http.openapi import operations
from service.settings import ServiceSettings
from tests.service.test_start_and_stop import service_process

pytestmark = pytest.mark.slow

IMAGES = ("image/png", "image/svg+xml", "application/pdf", "image/gif")  # the generator knows no type of images
CONFIG = {"content_type_overrides": dict.fromkeys(IMAGES, "application/octet-stream"), "post_hooks": []}


def datetimes(node):
    """The answer with each time as a number, because a time has several texts."""
    if isinstance(node, dict):
        return {name: datetimes(child) for name, child in node.items()}
    if isinstance(node, list):
        return [datetimes(child) for child in node]
    try:
        return datetime.fromisoformat(node)
    except (TypeError, ValueError):
        return node


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Generate the client, and return a function that imports a module of it."""
    folder = tmp_path_factory.mktemp("generated")
    document, config = folder / "openapi.json", folder / "config.json"
    document.write_text(json.dumps(create_app(ServiceSettings(require_key=True)).openapi()))
    config.write_text(json.dumps(CONFIG))
    words = ["--path", document, "--config", config, "--meta", "none", "--output-path", folder / "generated_normlab"]
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"generated_normlab.{name}")
    sys.path.remove(str(folder))


@pytest.fixture
def clients(sqlite, api_key, generated, monkeypatch):
    """Clients of a service process, by what they may do."""
    keys = {scope: api_key(scope) for scope in ("read", "write")} | {"nothing": "normlab_0_wrong"}
    monkeypatch.setenv("NORMLAB_REQUIRE_KEY", "true")
    client = generated("client")
    with service_process(sqlite.url, "--no-worker") as (_, port):
        address = f"http://127.0.0.1:{port}"
        clients = {scope: client.AuthenticatedClient(base_url=address, token=key) for scope, key in keys.items()}
        clients["anonymous"] = client.Client(base_url=address)
        yield clients
        for each in clients.values():
            each.get_httpx_client().close()


class TestGeneratedClient:
    def test_parses_answers_and_problems(self, clients, generated):
        """The client parses an experiment, and every error as a problem: 401, 403, 404, 409 and 422."""
        models, of_experiments = generated("models"), "api.experiments."
        post = generated(of_experiments + "post_experiments_post").sync
        read = generated(of_experiments + "read_experiments_experiment_id_get").sync
        cancel = generated(of_experiments + "cancel_experiments_experiment_id_cancel_post").sync
        digits = models.ExperimentSpecDataset.DIGITS
        spec = models.ExperimentSpec(dataset=digits, normalization=models.ExperimentSpecNormalization.BATCH)

        posted = post(client=clients["write"], body=spec)
        assert isinstance(posted, models.ExperimentResponse)
        assert (posted.status, posted.spec.normalization) == (models.Status.QUEUED, "batch")
        assert read(posted.id, client=clients["read"]) == posted
        cancel(posted.id, client=clients["write"])
        invalid = models.ExperimentSpec(dataset=digits, epochs=0, learning_rate=20.0)
        problems = [
            read(posted.id, client=clients["anonymous"]),
            read(posted.id, client=clients["nothing"]),
            post(client=clients["read"], body=spec),
            read(99, client=clients["read"]),
            cancel(posted.id, client=clients["write"]),
            post(client=clients["write"], body=invalid),
        ]
        assert all(isinstance(problem, models.Problem) for problem in problems)
        assert [problem.status for problem in problems] == [401, 401, 403, 404, 409, 422]
        assert problems[3].detail == "there is no experiment 99"
        assert [error.field for error in problems[5].errors] == ["epochs", "learning_rate"]

    def test_reads_every_answer(self, generated):
        """The client reads a real answer of each route, and writes it as it was."""
        models, document = generated("models"), create_app(ServiceSettings(require_key=True)).openapi()
        for name, operation in operations(document):
            for status, response in operation["responses"].items():
                if status < "300" and "application/json" in (content := response.get("content", {})):
                    example = content["application/json"]["example"]
                    model = getattr(models, content["application/json"]["schema"]["$ref"].rpartition("/")[2])
                    assert datetimes(model.from_dict(example).to_dict()) == datetimes(example), name

    def test_leaves_the_protocol_its_defaults(self, clients, generated):
        """The client sends no default that a protocol sets, so that the protocol holds."""
        models = generated("models")
        spec = models.ExperimentSpec(
            dataset=models.ExperimentSpecDataset.DIGITS, protocol=models.ExperimentSpecProtocol.ORIGINAL
        )
        posted = generated("api.experiments.post_experiments_post").sync(client=clients["write"], body=spec)
        assert (posted.spec.shuffle, posted.spec.pool_gradient) == (False, "copied")
