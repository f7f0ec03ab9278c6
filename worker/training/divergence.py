"""Where a loss stopped being finite: the epoch is run again from its start, this time watching every step."""

from collections.abc import Callable

import torch

from normcore.network import LayerGradients
from normcore.step import scaled
from normlab.store.records import Record
from worker.training.checkpoints import State
from worker.training.training import Training


class Diverged(Exception):
    """The loss is not finite; the message says where that began, and the epoch's record is still to be written."""

    def __init__(self, message: str, record: Record) -> None:
        super().__init__(message)
        self.record = record


class FirstNonfinite:
    """A probe that remembers the first layer of the backward pass whose gradient is not finite."""

    def __init__(self) -> None:
        self.place: int | None = None

    def __call__(self, place: int, passed: LayerGradients) -> None:
        """Called by the network at each layer of the backward pass."""
        made = [gradient for gradient in (passed.dx, *passed.gradients.values()) if gradient is not None]
        if self.place is None and not all(torch.isfinite(gradient).all() for gradient in made):
            self.place = place


def where_it_began(training: Training, start: State, epoch: int, check: Callable[[], None]) -> str:
    """What went wrong in the epoch, or the rest of one, that began here; spoils the training, which is over anyway.

    check: called at every step; may raise, to stop.
    """
    training.resume(start)
    batches = training.batches(epoch)
    for indices in batches[training.steps_done - epoch * len(batches) :]:
        check()
        step = f"epoch {epoch}, step {training.steps_done + 1}"
        images, labels = scaled(training.train.images[indices]), training.train.labels[indices]
        probe = FirstNonfinite()
        loss, _, gradients = training.network.gradients(images, labels, probe)
        if not torch.isfinite(loss):
            return _sentence(training, step, "output", training.network.first_nonfinite(images))
        if probe.place is not None:
            return _sentence(training, step, "gradient", probe.place)
        training.optimizer.update(gradients, training.step.next_coefficients())
        for name, parameter in training.network.parameters().items():
            if not torch.isfinite(parameter).all():
                return _sentence(training, step, "update", int(name.split(".")[0]))
    return f"the loss on the test images is not finite after epoch {epoch}"


def _sentence(training: Training, step: str, what: str, place: int | None) -> str:
    if place is None:
        return f"the loss became not finite in {step}, at the loss itself"
    layer = training.layers[place]
    return (
        f"the loss became not finite in {step}: the first {what} that was not is of layer {layer.layer} ({layer.kind})"
    )
