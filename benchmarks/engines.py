"""`python -m benchmarks.engines`: what the rule of `engine: auto` costs, compared with the faster engine of each spec.

Times are those of the process and of its compilers on the processor, so that other load on the machine changes them
little.
"""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from normcore.engines import Compiled, Eager, Engine
from normcore.engines.choosing import rule
from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.spec.experiment import ExperimentSpec
from worker import datasets
from worker.run.malloc import keep_freed_memory
from worker.training.capture import layers_to_capture
from worker.training.nominal_time import step_seconds
from worker.training.training import Training

# Of each spec its fields, and the number of training images of its data set.
SPECS: dict[str, tuple[dict[str, Any], int]] = {
    "the default spec, 150 epochs of STL-10": ({}, 5000),
    "the same with batch normalization": ({"normalization": "batch"}, 5000),
    "the same with 256 images a step, layer": ({"normalization": "layer", "batch_size": 256}, 5000),
    "digits, batch, 5 epochs": ({"image_size": 32, "normalization": "batch", "epochs": 5}, 1438),
    "digits, batch, 500 epochs": ({"image_size": 32, "normalization": "batch", "epochs": 500}, 1438),
    "digits, Yeo-Johnson, 150 epochs": ({"image_size": 32, "normalization": "yeo_johnson"}, 1438),
}
SECONDS, ROUNDS = 0.3, 5


def main() -> None:
    """Measure every spec on one core and print a table."""
    CommandParser(description=main.__doc__).parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    print(
        "| training | estimate | eager | compiled, with its compilation | auto | time of auto relative to the faster |"
    )
    print("|---|---|---|---|---|---|")
    with ProgressLines("engines", len(SPECS), "trainings") as progress:
        for name, (fields, images) in progress.each(SPECS.items(), lambda item: item[0]):
            print(_row(name, fields, images), flush=True)


def _row(name: str, fields: dict[str, Any], images: int) -> str:
    spec = ExperimentSpec.model_validate(fields | {"dataset": "synthetic", "train_size": 300, "test_size": 20})
    data = datasets.load("synthetic", data_dir=Path(), image_size=spec.image_size, train_size=300, test_size=20)
    steps = spec.epochs * -(-images // spec.batch_size)
    seconds = {name: prepare + steps * step for name, prepare, step in _measured(spec, data)}
    estimate = steps * step_seconds(spec.layer_shapes(), spec.batch_size)
    auto, _ = rule(torch.device("cpu"), estimate)
    times = [estimate, seconds["eager"], seconds["compiled"]]
    cells = [name, *(f"{each:,.0f} s" for each in times), auto, f"{seconds[auto] / min(seconds.values()):.2f}"]
    return f"| {' | '.join(cells)} |"


def _measured(spec: ExperimentSpec, data: datasets.ImageData) -> Iterator[tuple[str, float, float]]:
    """Yield each engine's name, its seconds of preparation, and its seconds a step."""
    factories: dict[str, Callable[[Training], Engine]] = {
        "eager": lambda training: Eager(training.step),
        "compiled": lambda training: Compiled(
            training.step, layers_to_capture(training.layers, spec.capture_quantities)
        ),
    }
    for name, factory in factories.items():
        training = Training(spec, data, torch.device("cpu"))
        batch, began = training.batches(0)[0], _processor_seconds()
        engine = factory(training)
        engine(batch)
        prepare = _processor_seconds() - began
        yield name, prepare if name == "compiled" else 0.0, min(_step(engine, batch) for _ in range(ROUNDS))


def _step(engine: Engine, batch: torch.Tensor) -> float:
    began, steps = time.process_time(), 0
    while time.process_time() - began < SECONDS:
        engine(batch)
        steps += 1
    return (time.process_time() - began) / steps


def _processor_seconds() -> float:
    """Return the seconds of this process and of the compilers that it has started."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
