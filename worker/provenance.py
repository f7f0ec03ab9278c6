"""What an experiment was run with: enough to say why two results differ."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from normcore.engines import Choice
from worker import device as devices

DECISIVE = ("device_name", "threads", "engine")  # for the last bits of what is computed, beside torch's version


def provenance(
    device: torch.device,
    choice: Choice,
    *,
    seed: int,
    resumed_at_step: int | None,
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Versions, device, engine and why that one, threads, seed, the step it went on from, if it did, and then what is
    other than before, with the provenance of the attempt that it goes on from.
    """
    now = {
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
    return now | {"differs": _differences(before, now) if before and resumed_at_step else []}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What keeps a resumed training from ending with the bits of an undisturbed one."""
    pairs = [(name, before[name], now[name]) for name in DECISIVE]
    pairs.append(("torch", before["versions"]["torch"], now["versions"]["torch"]))
    return [f"{name}: {earlier} before, {later} now" for name, earlier, later in pairs if earlier != later]
