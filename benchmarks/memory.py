"""(c) Activation memory: what is held between the forward and the backward pass, beside what autograd saves."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks import ours, peers
from normcore.step import scaled
from worker.datasets import ImageData

BATCH = 256


def measure(device: torch.device) -> list[dict[str, Any]]:
    """A row for each variant: megabytes, and the ratios to autograd's."""
    data = ours.random_images(device)
    return [_row(variant, data, device) for variant in peers.VARIANTS]


def _row(variant: str, data: ImageData, device: torch.device) -> dict[str, Any]:
    autograds = _saved_by_autograd(variant, data, device)
    held = {memory: _held(variant, memory, data, device) for memory in ("standard", "recompute")}
    row: dict[str, Any] = {"variant": variant, "autograd MB": autograds / 1e6}
    for memory, size in held.items():
        row |= {f"{memory} MB": size / 1e6, f"{memory} over autograd": size / autograds}
    return row


def _held(variant: str, memory: str, data: ImageData, device: torch.device) -> int:
    network = ours.training(variant, BATCH, data, device, memory=memory).network
    _, caches = network.forward(scaled(data.train.images[:BATCH]))
    return _bytes(tree_leaves(caches), list(network.parameters().values()))


def _saved_by_autograd(variant: str, data: ImageData, device: torch.device) -> int:
    peer = peers.peer(variant, device, channels_last=device.type == "cpu")
    saved: list[object] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = F.cross_entropy(peer.run(peer.batch(data.train.images[:BATCH])), data.train.labels[:BATCH])
    size = _bytes(saved, list(peer.module.parameters()))
    assert loss.requires_grad
    return size


def _bytes(held: list[object], parameters: list[Tensor]) -> int:
    """Of the tensors among what is held, each piece of memory once, parameters left out."""
    tensors = [each for each in held if isinstance(each, Tensor)]
    pieces = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    for parameter in parameters:
        pieces.pop(parameter.untyped_storage().data_ptr(), None)
    return sum(pieces.values())
