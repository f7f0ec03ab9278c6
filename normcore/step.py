"""A whole training step: forward, backward, optimizer. What every engine runs, each in its own way."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.cross_entropy import cross_entropy
from normcore.layers.layer import Gradients
from normcore.network import Network, Probe
from normcore.optimizers.optimizer import Optimizer


class StepResult(NamedTuple):
    """loss: scalar, the batch's mean; correct: int64 scalar, how many images were told right; gradients: by name."""

    loss: Tensor
    correct: Tensor
    gradients: Gradients


@dataclass(frozen=True)
class TrainingStep:
    """One network's training step on some of the images, which lie on the training device as they were read.

    images: M 3 H W uint8; labels: M int64. Scaling to 0…1 is the only thing done to an image.
    """

    network: Network
    optimizer: Optimizer
    images: Tensor
    labels: Tensor

    def __call__(
        self, indices: Tensor, coefficients: Tensor, probe: Probe | None = None, *, images_gradient: bool = False
    ) -> StepResult:
        """Train on the images of these indices, N int64. coefficients: of the optimizer's coming step."""
        labels = self.labels[indices]

        def images() -> Tensor:
            return scaled(self.images[indices])

        logits, caches = self.network.forward(images())
        loss, dlogits = cross_entropy(logits, labels)
        gradients = self.network.backward(dlogits, caches, probe, images=images, images_gradient=images_gradient)
        self.optimizer.update(gradients, coefficients)
        return StepResult(loss, (logits.argmax(1) == labels).sum(), gradients)

    def infer(self, images: Tensor) -> Tensor:
        """Scores, N K, of uint8 images, N 3 H W, at test time."""
        return self.network.infer(scaled(images))

    def next_coefficients(self) -> Tensor:
        """Of the optimizer's coming step, which counts as taken; on the device, in the parameters' precision."""
        like = next(iter(self.network.parameters().values()))
        return torch.tensor(self.optimizer.next_coefficients(), dtype=like.dtype, device=like.device)


def scaled(images: Tensor) -> Tensor:
    """Pixel values / 255. uint8 to float32, N C H W."""
    return images.to(torch.float32, memory_format=layout(images.device)) / 255


def layout(device: torch.device) -> torch.memory_format:
    """How images and convolutions' weights best lie in memory: on a CPU with their channels last."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format
