"""(a) A training step: normcore's engines compared with autograd, eager and compiled; (b) what a capture adds."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks import ours, peers
from benchmarks.timing import Timing, time_alternately
from normlab.process.progress import ProgressLines
from worker.datasets import ImageData

BATCHES = (20, 256)
CASES = [(batch, variant) for batch in BATCHES for variant in peers.VARIANTS]


def measure(device: torch.device, progress: ProgressLines) -> list[dict[str, Any]]:
    """Return a row for each variant and batch size."""
    data = ours.random_images(device)
    cases = progress.each(CASES, lambda case: f"a training step, {case[0]} images, {case[1]}")
    return [_row(variant, batch, data, device) for batch, variant in cases]


def _row(variant: str, batch: int, data: ImageData, device: torch.device) -> dict[str, Any]:
    engines = ours.engines(
        lambda: ours.training(variant, batch, data, device)
    )  # first, because this resets torch.compile
    candidates = {f"normcore {name}": ours.step(*engine) for name, engine in engines.items()}
    candidates |= {f"normcore {name}, capturing": ours.captured_step(*engine) for name, engine in engines.items()}
    candidates |= _peers(variant, batch, data, device)
    timings = time_alternately(candidates)
    return {"variant": variant, "batch": batch, "milliseconds": _medians(timings)} | _ratios(timings)


def _peers(variant: str, batch: int, data: ImageData, device: torch.device) -> dict[str, Callable[[], object]]:
    ways: dict[str, dict[str, Any]] = {
        "autograd": {},
        "autograd, channels last": {"channels_last": True},
        "torch.compile": {"mode": "default"},
    }
    if device.type == "cuda":
        ways["torch.compile, reduce-overhead"] = {"mode": "reduce-overhead"}
        ways["torch.compile, max-autotune"] = {"mode": "max-autotune"}
    elif batch == BATCHES[0]:  # it was never faster for the larger batch, and compiling it takes long
        ways["torch.compile, channels last"] = {"mode": "default", "channels_last": True}
    indices = torch.randperm(len(data.train.labels), generator=torch.Generator().manual_seed(0))[:batch].to(device)

    def step(peer: peers.Peer) -> Callable[[], object]:
        return lambda: peer.step(data.train.images[indices], data.train.labels[indices])

    return {name: step(peers.peer(variant, device, **way)) for name, way in ways.items()}


def _ratios(timings: dict[str, Timing]) -> dict[str, Any]:
    def best(prefix: str) -> tuple[str, Timing]:
        return min(
            ((name, timing) for name, timing in timings.items() if name.startswith(prefix) and "capturing" not in name),
            key=lambda candidate: candidate[1].median,
        )

    (our_name, our_best), (_, autograd), (_, compiled) = best("normcore"), best("autograd"), best("torch.compile")
    capturing = timings[f"{our_name}, capturing"]
    return {
        "best engine": our_name.removeprefix("normcore "),
        "over best autograd": our_best.over(autograd),
        "over best compiled autograd": our_best.over(compiled),
        "capture at every step": capturing.over(our_best),
        "capture once in 250 steps": 1 + (capturing.over(our_best) - 1) / 250,
    }


def _medians(timings: dict[str, Timing]) -> dict[str, Any]:
    return {name: {"median": timing.median, "quartiles": timing.spread} for name, timing in timings.items()}
