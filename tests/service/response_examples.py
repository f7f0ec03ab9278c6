"""`python -m tests.service.response_examples`: write the examples of the OpenAPI document.

They are the answers of a service to each of its routes about experiments that a worker has trained. Long lists are cut.
Run it again when a response has other fields.
"""

import json
import platform
import tempfile
from pathlib import Path

from normlab.process.command_line import CommandParser
from normlab.store.database import Database
from normlab.store.schema import migrate
from tests.experiments import until
from tests.service.clients import client_of
from tests.worker.worker_process import worker_process

FILE = Path(__file__).parents[2] / "service" / "http" / "response_examples.json"
SPEC = {
    "name": "two convolutions", "tags": ["example"], "group": "examples", "dataset": "digits", "train_size": 500,
    "test_size": 100, "normalization": "batch", "epochs": 2, "capture_quantities": ["weight", "weight_gradient"],
    "network": [
        {"kind": "convolution", "channels": 8, "stride": 2}, {"kind": "activation"}, {"kind": "normalization"},
        {"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"},
    ],
}  # fmt: skip
WAITING = {"dataset": "digits", "group": "later", "network": SPEC["network"]}
MAX_ROWS = 2  # of a list of rows
REQUESTS = {  # after the training, by the operation's name, in this order: experiment 1 has ended, 2 and 3 wait
    "GET /experiments/{experiment_id}": "/experiments/1",
    "GET /experiments": "/experiments?limit=2",
    "GET /experiments/{experiment_id}/attempts": "/experiments/1/attempts",
    "GET /experiments/{experiment_id}/checkpoint": "/experiments/1/checkpoint",
    "POST /experiments/{experiment_id}/gradient-check": "/experiments/1/gradient-check",
    "GET /experiments/{experiment_id}/gradient-check": "/experiments/1/gradient-check",
    "GET /experiments/{experiment_id}/metrics": "/experiments/1/metrics",
    "GET /experiments/{experiment_id}/layers": "/experiments/1/layers?layer=1&epoch=1",
    "GET /experiments/{experiment_id}/histograms": "/experiments/1/histograms?quantity=weight&layer=1&epoch=1&bins=4",
    "GET /histograms": "/histograms?experiments=1&quantity=weight&layer=1&epoch=1&bins=4",
    "GET /experiments/{experiment_id}/plots": "/experiments/1/plots",
    "GET /groups": "/groups",
    "POST /groups/{group}/pause": "/groups/later/pause",
    "POST /groups/{group}/resume": "/groups/later/resume",
    "PATCH /experiments/{experiment_id}": "/experiments/2",
    "POST /experiments/{experiment_id}/pause": "/experiments/2/pause",
    "POST /experiments/{experiment_id}/resume": "/experiments/2/resume",
    "POST /experiments/{experiment_id}/cancel": "/experiments/2/cancel",
    "POST /experiments/{experiment_id}/retry": "/experiments/2/retry",
    "GET /livez": "/livez",
    "GET /readyz": "/readyz",
}
CHANGES = {"name": "later", "priority": 5}  # of the PATCH


def main():
    """Write the file."""
    CommandParser(description=f"Write {FILE.name} beside the service's code.").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/normlab.db")
        migrate(database)
        examples = dict(sorted(answers(database).items()))
        database.close()
    FILE.write_text(json.dumps(examples, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def answers(database):
    """The answers to all requests, by the operation's name."""
    with client_of(database.url) as client:
        posted = {"POST /experiments": _json(client.post("/experiments", json=SPEC))}
        with worker_process(database):
            until(lambda: _json(client.get("/experiments/1"))["status"] == "succeeded")
            posted["GET /workers"] = _json(client.get("/workers"))
        for _ in range(2):
            client.post("/experiments", json=WAITING)
        return posted | {name: _answer(client, name, path) for name, path in REQUESTS.items()}


def _answer(client, name, path):
    method = name.partition(" ")[0]
    return _cut(_json(client.request(method, path, json=CHANGES if method == "PATCH" else None)))


def _json(response):
    """The answer, without the name of this machine."""
    assert response.is_success, response.text
    return json.loads(response.text.replace(platform.node(), "lab"))


def _cut(answer):
    """The answer with the first rows alone, of lists of rows at the top."""
    return {
        name: value[:MAX_ROWS] if isinstance(value, list) and name != "network" else value
        for name, value in answer.items()
    }


if __name__ == "__main__":
    main()
