"""What every engine can do, and what it must leave as it was while it makes itself ready."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor

from normcore.network import Probe
from normcore.step import StepResult, TrainingStep


class EngineUnavailable(Exception):
    """An engine that the machine cannot run; the message says what is lacking."""


class Engine(Protocol):
    """Runs training steps. Whether a probe looks changes no bit of what is trained."""

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """One step on the images of these indices, N int64. The probe is shown what it may see of the backward pass.

        The outcome's tensors may be overwritten by the next call.
        """
        ...

    def infer(self, images: Tensor) -> Tensor:
        """Scores, N K, of uint8 images, N 3 H W, at test time; changes nothing."""
        ...


@contextmanager
def preserved(step: TrainingStep) -> Iterator[None]:
    """Whatever is trained inside is forgotten: weights, running statistics, optimizer are as they were before."""
    tensors = [*step.network.parameters().values(), *step.network.buffers().values(), *step.optimizer.state().values()]
    kept, steps = [tensor.clone() for tensor in tensors], step.optimizer.steps
    try:
        yield
    finally:
        for tensor, was in zip(tensors, kept, strict=True):
            tensor.copy_(was)
        step.optimizer.steps = steps
