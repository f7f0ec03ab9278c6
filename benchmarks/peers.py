"""The study's network as it is usually written in torch: modules, autograd, fused Adam."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-8
CHANNELS, STRIDES = (3, 16, 16, 16, 16, 16, 10), (2, 2, 2, 2, 1, 1)
VARIANTS = ("none", "batch", "layer", "instance", "box_cox")


class SameConvolution(nn.Conv2d):
    """TensorFlow's SAME padding of a 3×3 kernel on an even size."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad by hand for a stride of 2, whose zeros are at the bottom and right only; torch pads all sides alike."""
        if self.stride[0] == 1:
            return F.conv2d(x, self.weight, padding=1)
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, stride=self.stride)


class SampleNorm(nn.Module):
    """Layer normalization over C, H, W of any size."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize by torch's own kernel."""
        return F.layer_norm(x, x.shape[1:], eps=EPS)


class BoxCox(nn.Module):
    """Box-Cox with one learned λ."""

    def __init__(self) -> None:
        super().__init__()
        self.lam = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the formula as the article writes it."""
        return ((1 + x) ** self.lam - 1) / self.lam


NORMALIZATIONS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda channels: [],
    "batch": lambda channels: [nn.BatchNorm2d(channels, eps=EPS, affine=False)],
    "layer": lambda channels: [SampleNorm()],
    "instance": lambda channels: [nn.InstanceNorm2d(channels, eps=EPS)],
    "box_cox": lambda channels: [BoxCox()],
}


def network(variant: str) -> nn.Sequential:
    """Return the study's six blocks."""
    layers: list[nn.Module] = []
    for block, stride in enumerate(STRIDES):
        convolution = SameConvolution(CHANNELS[block], CHANNELS[block + 1], 3, stride, bias=False)
        nn.init.normal_(convolution.weight, std=0.05)
        layers += [convolution, nn.ReLU()]
        if block < 5:
            layers += NORMALIZATIONS[variant](CHANNELS[block + 1])
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Peer(NamedTuple):
    """A network, the function that runs its forward pass, its optimizer, and the memory format of its images."""

    module: nn.Sequential
    run: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    layout: torch.memory_format

    def batch(self, images: Tensor) -> Tensor:
        """Return uint8 images as float32 in 0 … 1, in the layout."""
        return images.to(torch.float32, memory_format=self.layout) / 255

    def gradients(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and how many images are classified correctly; the gradients are in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.run(x)
        loss = F.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss, (logits.argmax(1) == labels).sum()

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Train one step on uint8 images."""
        result = self.gradients(self.batch(images), labels)
        self.optimizer.step()
        return result


def peer(variant: str, device: torch.device, *, channels_last: bool = False, mode: str | None = None) -> Peer:
    """Return the network of a variant. mode: torch.compile's mode, or None for eager."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = network(variant).to(device).to(memory_format=layout)
    optimizer = torch.optim.Adam(module.parameters(), lr=8e-4, eps=1e-9, fused=True)
    return Peer(module, torch.compile(module, mode=mode) if mode else module, optimizer, layout)
