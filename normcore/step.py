"""A whole training step: forward, backward, optimizer. Every engine runs this step, each in its own way."""

from typing import NamedTuple

import torch
from torch import Tensor

from normcore.cross_entropy import cross_entropy
from normcore.layers.layer import Gradients
from normcore.network import Network, Probe
from normcore.optimizers.optimizer import Optimizer


class StepResult(NamedTuple):
    """What a step computes.

    loss is a scalar, the mean over the batch. correct, an int64 scalar, is how many images were classified correctly.
    gradients are named as the network's parameters.
    """

    loss: Tensor
    correct: Tensor
    gradients: Gradients


class TrainingStep:
    """One network's training step on some of the training images.

    A step has two halves with a seam between them: `gradients` reads the parameters, and `update` changes them.
    Training on several devices would average the gradients between the two.

    Args:
        network: The network to train.
        optimizer: The optimizer of the network's parameters.
        images: All training images, M 3 H W uint8, on the training device. Each is scaled to 0 … 1 when it is used.
        labels: The index of each image's class, M int64.

    It computes in the precision of the network's parameters.
    """

    def __init__(self, network: Network, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
        self.network, self.optimizer = network, optimizer
        self.images, self.labels = images, labels
        self._inference = network.for_inference()
        self._dtype = next(iter(network.parameters().values())).dtype

    def __call__(
        self, indices: Tensor, coefficients: Tensor, probe: Probe | None = None, *, images_gradient: bool = False
    ) -> StepResult:
        """Train on the images of the indices, N int64, with the optimizer's next_coefficients()."""
        result = self.gradients(indices, probe, images_gradient=images_gradient)
        self.update(result.gradients, coefficients)
        return result

    def gradients(self, indices: Tensor, probe: Probe | None = None, *, images_gradient: bool = False) -> StepResult:
        """Return the loss and gradients on the images of the indices. Updates running statistics, no parameter.

        images_gradient: whether the first layer computes its dx, for a probe to observe.
        """
        labels = self.labels[indices]

        def images() -> Tensor:
            return self.batch(indices)

        logits, caches = self.network.forward(images())
        loss, dlogits = cross_entropy(logits, labels)
        gradients = self.network.backward(dlogits, caches, probe, images=images, images_gradient=images_gradient)
        return StepResult(loss, (logits.argmax(-1) == labels).sum(), gradients)

    def update(self, gradients: Gradients, coefficients: Tensor) -> None:
        """Update every parameter by its gradient."""
        self.optimizer.update(gradients, coefficients)

    def test_logits(self, images: Tensor) -> Tensor:
        """Return the logits, N classes, of uint8 images, N 3 H W, at test time. Changes nothing."""
        return self._inference.logits(scaled(images, self._dtype))

    def batch(self, indices: Tensor) -> Tensor:
        """Return the images of the indices as the network takes them, N 3 H W: scaled, in its precision."""
        return scaled(self.images[indices], self._dtype)

    def next_coefficients(self) -> Tensor:
        """Return the coefficients of the optimizer's next step as a tensor like the parameters; counts the step."""
        like = next(iter(self.network.parameters().values()))
        return torch.tensor(self.optimizer.next_coefficients(), dtype=like.dtype, device=like.device)


def scaled(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return uint8 images, N C H W, as numbers in 0 … 1: pixel values divided by 255."""
    return images.to(dtype, memory_format=layout(images.device)) / 255


def layout(device: torch.device) -> torch.memory_format:
    """Return the memory format in which the device's convolutions are fastest: on a CPU, channels last."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format
