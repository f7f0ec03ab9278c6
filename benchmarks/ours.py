"""normlab's own training of the study's network, through the very classes the worker uses."""

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
    """As many images of STL-10's size as a few batches take."""
    generator = torch.Generator().manual_seed(1)

    def split(count: int) -> Split:
        images = torch.randint(0, 256, (count, 3, 96, 96), dtype=torch.uint8, generator=generator)
        return Split(images.to(device), torch.randint(0, 10, (count,), generator=generator).to(device))

    return ImageData(split(train), split(test), classes=10)


def training(variant: str, batch: int, data: ImageData, device: torch.device, *, memory: str = "standard") -> Training:
    """An experiment of the study, looked into at every step if asked."""
    fields = {"normalization": variant, "batch_size": batch, "dataset": "synthetic", "memory": memory}
    return Training(ExperimentSpec.model_validate(fields), data, device)


def engines(made: Callable[[], Training]) -> dict[str, tuple[Training, Engine]]:
    """Every engine this machine has, each with a training of its own."""

    def of(maker: Callable[[Training], Engine]) -> tuple[Training, Engine]:
        training = made()
        return training, maker(training)

    found = {"eager": of(lambda training: Eager(training.step))}
    found["compiled"] = of(lambda training: Compiled(training.step, layers_to_capture(training.layers, QUANTITIES)))
    if torch.cuda.is_available():
        found["cuda_graph"] = of(lambda training: CudaGraph(training.step, training.batches(0)[0]))
    return found


def step(training: Training, engine: Engine) -> Callable[[], object]:
    """A training step."""
    batch = training.batches(0)[0]
    return lambda: engine(batch)


def looked_step(training: Training, engine: Engine) -> Callable[[], object]:
    """A training step with every quantity of every layer counted and fetched."""
    batch = training.batches(0)[0]

    def run() -> object:
        look = LayerCapture(training.layers, QUANTITIES)
        before = {place: weight.clone() for place, weight in training.weights.items()}
        outcome = engine(batch, look)
        look.see_weights(before, outcome.gradients)
        look.see_updates(before, training.weights)
        return look.capture(0, 1)

    return run
