"""normlab's own training of the study's network, by the classes that the worker uses."""

from collections.abc import Callable
from typing import get_args

import torch

from normcore.engines import Compiled, CudaGraph, Eager, Engine
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.quantities import QuantityName
from worker.datasets import ImageData, Split
from worker.training.capture import LayerCapture, layers_to_capture
from worker.training.training import Training

QUANTITIES = get_args(QuantityName)


def random_images(device: torch.device, *, train: int = 1024, test: int = 500) -> ImageData:
    """Return random images of STL-10's size, enough for a few batches."""
    generator = torch.Generator().manual_seed(1)

    def split(count: int) -> Split:
        images = torch.randint(0, 256, (count, 3, 96, 96), dtype=torch.uint8, generator=generator)
        return Split(images.to(device), torch.randint(0, 10, (count,), generator=generator).to(device))

    return ImageData(split(train), split(test), classes=10)


def training(variant: str, batch: int, data: ImageData, device: torch.device, *, memory: str = "standard") -> Training:
    """Return a training of one of the study's variants."""
    fields = {"normalization": variant, "batch_size": batch, "dataset": "synthetic", "memory": memory}
    return Training(ExperimentSpec.model_validate(fields), data, device)


def engines(new_training: Callable[[], Training]) -> dict[str, tuple[Training, Engine]]:
    """Return every engine of this machine, each with a training of its own."""

    def with_training(new_engine: Callable[[Training], Engine]) -> tuple[Training, Engine]:
        training = new_training()
        return training, new_engine(training)

    engines = {"eager": with_training(lambda training: Eager(training.step))}
    engines["compiled"] = with_training(
        lambda training: Compiled(training.step, layers_to_capture(training.layers, QUANTITIES))
    )
    if torch.cuda.is_available():
        engines["cuda_graph"] = with_training(lambda training: CudaGraph(training.step, training.batches(0)[0]))
    return engines


def step(training: Training, engine: Engine) -> Callable[[], object]:
    """Return a function that runs one training step."""
    batch = training.batches(0)[0]
    return lambda: engine(batch)


def captured_step(training: Training, engine: Engine) -> Callable[[], object]:
    """Return a function that runs one training step and captures every quantity of every layer."""
    batch = training.batches(0)[0]

    def run() -> object:
        capture = LayerCapture(training.layers, QUANTITIES)
        before = {index: weight.clone() for index, weight in training.weights.items()}
        result = engine(batch, capture)
        capture.capture_weights(before, result.gradients)
        capture.capture_updates(before, training.weights)
        return capture.fetch(0, 1)

    return run
