"""Where a loss stopped being finite: the epoch is run again from its start, this time watching every step."""

import torch
from torch import Tensor

from normcore import Gradients
from worker.checkpoints import State
from worker.training import Training, scaled


class Diverged(Exception):
    """The loss is not finite; the message says where that began."""


class FirstNonfinite:
    """A probe that remembers the first layer of the backward pass whose gradient is not finite."""

    def __init__(self) -> None:
        self.place: int | None = None

    def __call__(self, place: int, dout: Tensor, dx: Tensor, gradients: Gradients) -> None:
        """Called by the network at each layer of the backward pass."""
        if self.place is None and not all(torch.isfinite(t).all() for t in (dx, *gradients.values())):
            self.place = place


def diagnose(training: Training, start: State, epoch: int) -> Diverged:
    """What happened in the epoch that began with this state. Spoils the training, which is over anyway."""
    training.resume(start, epoch)
    batches = training.batches(epoch)
    for place, indices in enumerate(batches):
        where = f"epoch {epoch}, step {epoch * len(batches) + place + 1}"
        images, labels = scaled(training.train.images[indices]), training.train.labels[indices]
        probe = FirstNonfinite()
        loss, _, gradients = training.network.gradients(images, labels, probe)
        if not torch.isfinite(loss):
            forward = training.network.first_nonfinite(images)
            return _diverged(training, where, "output", forward)
        if probe.place is not None:
            return _diverged(training, where, "gradient", probe.place)
        training.optimizer.step(gradients)
        for name, parameter in training.network.parameters().items():
            if not torch.isfinite(parameter).all():
                return _diverged(training, where, "update", int(name.split(".")[0]))
    return Diverged(f"the loss on the test images is not finite after epoch {epoch}")


def _diverged(training: Training, where: str, what: str, place: int | None) -> Diverged:
    if place is None:
        return Diverged(f"the loss became not finite in {where}, at the loss itself")
    layer = training.layers[place]
    return Diverged(
        f"the loss became not finite in {where}: the first {what} that was not is of layer {layer.layer} ({layer.kind})"
    )
