"""(d) A whole epoch at STL-10's size, test pass and one capture included, compared with autograd's."""

import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks import ours, peers
from normlab.process.progress import ProgressLines
from worker import datasets
from worker.datasets import ImageData, Split

STUDY_EPOCHS = 150
EPOCHS = 2  # timed of each, after a first one that is not


def measure(device: torch.device, progress: ProgressLines) -> list[dict[str, Any]]:
    """Return a row for each variant, in seconds, and one for the whole study of the article."""
    data = datasets.load("synthetic", data_dir=Path(), image_size=96, train_size=5000, test_size=8000)
    train, test = (Split(each.images.to(device), each.labels.to(device)) for each in (data.train, data.test))
    data = ImageData(train, test, data.classes)
    variants = progress.each(peers.VARIANTS, lambda variant: f"epochs, {variant}")
    rows = [_row(variant, data, device) for variant in variants]
    normlab, autograd = (STUDY_EPOCHS * sum(row[name] for row in rows) for name in ("normlab", "autograd"))
    study = f"the study: all five, {STUDY_EPOCHS} epochs (extrapolated)"
    return [*rows, {"variant": study, "normlab": normlab, "autograd": autograd, "over autograd": normlab / autograd}]


def _row(variant: str, data: ImageData, device: torch.device) -> dict[str, Any]:
    training = ours.training(variant, 20, data, device)
    choice = training.ready("auto")
    peer = peers.peer(variant, device, channels_last=device.type == "cpu")
    seconds: dict[str, list[float]] = {"normlab": [], "autograd": []}
    for _ in range(1 + EPOCHS):
        began = time.perf_counter()
        training.run_epoch(lambda step, loss: None)
        middle = time.perf_counter()
        _epoch(peer, data)
        seconds["normlab"].append(middle - began)
        seconds["autograd"].append(time.perf_counter() - middle)
    best = {name: min(timed[1:]) for name, timed in seconds.items()}
    return {"variant": variant, "engine": choice.name} | best | {"over autograd": best["normlab"] / best["autograd"]}


def _epoch(peer: peers.Peer, data: ImageData) -> float:
    order = torch.randperm(len(data.train.labels)).to(data.train.labels.device)
    for indices in torch.split(order, 20):
        peer.step(data.train.images[indices], data.train.labels[indices])
    peer.module.eval()
    loss = 0.0
    with torch.no_grad():
        for images, labels in zip(torch.split(data.test.images, 500), torch.split(data.test.labels, 500), strict=True):
            loss += float(F.cross_entropy(peer.module(peer.batch(images)), labels))
    peer.module.train()
    return loss
