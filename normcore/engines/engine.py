"""What every engine can do, and what it must restore after it has prepared itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor

from normcore.network import Probe
from normcore.step import StepResult, TrainingStep


class EngineUnavailable(Exception):
    """The machine cannot run an engine; the message says what is missing."""


class Engine(Protocol):
    """Runs training steps. A probe changes no bit of the training."""

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """Train one step on the images of the indices, N int64, and call the probe with what it may observe.

        The next call may overwrite the tensors of the result.
        """
        ...

    def test_logits(self, images: Tensor) -> Tensor:
        """Return the logits, N classes, of uint8 images, N 3 H W, at test time. Changes nothing."""
        ...


@contextmanager
def preserved(step: TrainingStep) -> Iterator[None]:
    """Restore weights, running statistics and optimizer afterwards to what they were before."""
    tensors = [*step.network.parameters().values(), *step.network.buffers().values(), *step.optimizer.state().values()]
    copies, steps = [tensor.clone() for tensor in tensors], step.optimizer.steps
    try:
        yield
    finally:
        for tensor, copy in zip(tensors, copies, strict=True):
            tensor.copy_(copy)
        step.optimizer.steps = steps
