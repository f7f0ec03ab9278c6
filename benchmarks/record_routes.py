"""`python -m benchmarks.record_routes`: the times of an experiment's statistics and histograms over 150 epochs.

An experiment of the study's network with batch normalization is recorded in a SQLite file: every quantity of every
layer, of values that are distributed as in a training. Then each request is sent to the application, in one process.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from starlette.testclient import TestClient

from normcore.histograms import histogram
from normlab.process.command_line import CommandParser
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.quantities import QUANTITIES
from normlab.store import claims, records
from normlab.store.database import Database
from normlab.store.enqueue import Submission, enqueue_all
from normlab.store.histograms import Histogram
from normlab.store.schema import migrate
from service.app import create_app
from service.settings import ServiceSettings
from worker.training.capture import to_stored

REQUESTS = {
    "statistics of all quantities": "layers",
    "histograms of a quantity": "histograms?quantity=weight_gradient",
    "histograms of a quantity, CSV": "histograms?quantity=weight_gradient&format=csv",
    "histograms of a quantity, native bins, last epoch": "histograms?quantity=weight_gradient&binning=native&epoch=149",
}


def main() -> None:
    """Record the experiment, send each request and print the median times."""
    parser = CommandParser(description=main.__doc__)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'normlab.db')}"
        database = Database(url)
        migrate(database)
        number = _record(database, arguments.epochs)
        database.close()
        application = create_app(ServiceSettings(database_url=url))
        with TestClient(application, base_url="http://localhost") as client:
            for name, path in REQUESTS.items():
                address = f"/experiments/{number}/{path}"
                size = len(client.get(address).content)  # the first request also reads the file
                wall, processor = zip(*(_milliseconds(client, address) for _ in range(arguments.rounds)), strict=True)
                print(
                    f"{name}: median {statistics.median(wall):.0f} ms ({statistics.median(processor):.0f} ms of the "
                    f"processor), fastest {min(wall):.0f} ms, {size:,} bytes",
                    flush=True,
                )


def _milliseconds(client: TestClient, address: str) -> tuple[float, float]:
    """Return the time of a request by the clock, and by the processor, which other programs delay less."""
    began, began_processor = time.perf_counter(), time.process_time()
    client.get(address).raise_for_status()
    return 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - began_processor)


def _record(database: Database, epochs: int) -> int:
    """Record an experiment of so many epochs and return its number."""
    spec = ExperimentSpec(normalization="batch", epochs=epochs)
    histograms = _histograms(spec)
    with database.writing.begin() as session:
        enqueue_all(session, [Submission(spec, None)])
    with database.writing.begin() as session:
        claim = claims.claim(session, worker="benchmark", lease_seconds=600)
        assert claim is not None
        for epoch in range(epochs):
            metrics = records.EpochMetrics(epoch, 1.0, 0.5, 1.0, 0.5, 1.0, 1.0, 1000.0)
            capture = records.Capture(epoch, epoch + 1, histograms[epoch % len(histograms)])
            checkpoint = records.Checkpoint(epoch + 1, b"", str(epoch))
            records.record(session, claim, records.Record(metrics, (capture,), checkpoint))
    return claim.experiment_id


def _histograms(spec: ExperimentSpec) -> list[dict[tuple[int, str], Histogram]]:
    """Return the histograms of a few different captures: gradients are Laplacian, and a part of them is zero."""
    rng = np.random.default_rng(1)
    captures: list[dict[tuple[int, str], Histogram]] = []
    sizes = [(layer.layer, layer.kind, layer.parameters) for layer in spec.layer_shapes()]
    for _ in range(5):
        capture: dict[tuple[int, str], Histogram] = {}
        for number, kind, parameters in sizes:
            for quantity in _quantities_of(spec, kind):
                count = parameters if "weight" in quantity or quantity == "update" else 20 * 4096
                values = np.where(rng.random(count) < 0.3, 0, rng.laplace(size=count)).astype(np.float32)
                capture[number, quantity] = to_stored(histogram(torch.from_numpy(values)))
        captures.append(capture)
    return captures


def _quantities_of(spec: ExperimentSpec, kind: str) -> list[str]:
    if kind not in ("normalization", "convolution", "linear"):
        return []
    normalized = kind == "normalization"
    return [name for name in spec.capture_quantities if (QUANTITIES[name].layers == "normalization") == normalized]


if __name__ == "__main__":
    main()
