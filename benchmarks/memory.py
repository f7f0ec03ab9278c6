"""(c) Activation memory: what is kept between the forward and the backward pass, compared with autograd."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks import ours, peers
from normcore.step import scaled
from normlab.process.progress import ProgressLines
from worker.datasets import ImageData

BATCH = 256


def measure(device: torch.device, progress: ProgressLines) -> list[dict[str, Any]]:
    """Return a row for each variant: megabytes, and the ratios to autograd's."""
    data = ours.random_images(device)
    variants = progress.each(peers.VARIANTS, lambda variant: f"activation memory, {variant}")
    return [_row(variant, data, device) for variant in variants]


def _row(variant: str, data: ImageData, device: torch.device) -> dict[str, Any]:
    autograds = _saved_by_autograd(variant, data, device)
    kept = {memory: _kept(variant, memory, data, device) for memory in ("standard", "recompute")}
    row: dict[str, Any] = {"variant": variant, "autograd MB": autograds / 1e6}
    for memory, size in kept.items():
        row |= {f"{memory} MB": size / 1e6, f"{memory} over autograd": size / autograds}
    return row


def _kept(variant: str, memory: str, data: ImageData, device: torch.device) -> int:
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


def _bytes(objects: list[object], parameters: list[Tensor]) -> int:
    """Return the size of the tensors among the objects. Each storage counts once, and parameters do not count."""
    tensors = [each for each in objects if isinstance(each, Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    for parameter in parameters:
        storages.pop(parameter.untyped_storage().data_ptr(), None)
    return sum(storages.values())
