"""What an experiment was run with: enough to say why two results differ."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from normcore.engines import Choice
from worker import device as devices


def provenance(device: torch.device, choice: Choice, *, seed: int, resumed_at_step: int | None) -> dict[str, Any]:
    """Versions, device, engine and why that one, threads, seed, and the step it went on from, if it did."""
    return {
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("normlab", "torch", "numpy")},
        "device": str(device),
        "device_name": devices.name(device),
        "engine": choice.name,
        "engine_reason": choice.reason,
        "threads": torch.get_num_threads(),
        "host": platform.node(),
        "seed": seed,
        "resumed_at_step": resumed_at_step,
    }
