"""Find where a loss stopped being finite: the epoch is run again from its start, with a check of every step."""

from collections.abc import Callable

import torch

from normcore.network import LayerGradients
from normcore.step import scaled
from normlab.store.records import Record
from worker.training.checkpoints import State
from worker.training.training import Training


class Diverged(Exception):
    """The loss is not finite. The message says where that began; the epoch's record is still to be written."""

    def __init__(self, message: str, record: Record) -> None:
        super().__init__(message)
        self.record = record


class FirstNonfinite:
    """A probe that keeps the index of the first layer, in backward order, whose gradients are not finite."""

    def __init__(self) -> None:
        self.index: int | None = None

    def __call__(self, index: int, layer_gradients: LayerGradients) -> None:
        """Check one layer's gradients. The network calls this for each layer of the backward pass."""
        optional = (layer_gradients.dx, *layer_gradients.gradients.values())
        gradients = [gradient for gradient in optional if gradient is not None]
        if self.index is None and not all(torch.isfinite(gradient).all() for gradient in gradients):
            self.index = index


def first_nonfinite_value(training: Training, start: State, epoch: int, check: Callable[[], None]) -> str:
    """Return a sentence on the first value that was not finite in the epoch, or the part of it, after `start`.

    This changes the training's weights, so the training cannot continue afterwards.

    Args:
        training: The training that diverged.
        start: Its state where the epoch, or the rest of one, started.
        epoch: The epoch's number.
        check: Called at every step; may raise, to stop the search.
    """
    training.resume(start)
    batches = training.batches(epoch)
    for indices in batches[training.steps_done - epoch * len(batches) :]:
        check()
        step = f"epoch {epoch}, step {training.steps_done + 1}"
        probe = FirstNonfinite()
        loss, _, gradients = training.step.gradients(indices, probe, images_gradient=True)
        if not torch.isfinite(loss):
            images = scaled(training.train.images[indices])
            return _sentence(training, step, "output", training.network.first_nonfinite(images))
        if probe.index is not None:
            return _sentence(training, step, "gradient", probe.index)
        training.step.update(gradients, training.step.next_coefficients())
        for name, parameter in training.network.parameters().items():
            if not torch.isfinite(parameter).all():
                return _sentence(training, step, "update", int(name.split(".")[0]))
    return f"the loss on the test images is not finite after epoch {epoch}"


def _sentence(training: Training, step: str, what: str, index: int | None) -> str:
    if index is None:
        return f"the loss became not finite in {step}, at the loss itself"
    layer = training.layers[index]
    return (
        f"the loss became not finite in {step}: the first {what} that is not finite is of layer {layer.layer} "
        f"({layer.kind})"
    )
