"""What an experiment was run with: enough to say why two results differ."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from normcore.engines import EngineChoice
from worker.training import device as devices

DECISIVE = ("device_name", "threads", "engine")  # for the last bits of what is computed, beside torch's version


def provenance(
    device: torch.device,
    choice: EngineChoice,
    *,
    seed: int,
    resumed_at_step: int | None,
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Versions, device, engine and why that one, threads, seed, the step it went on from, if it did; and then what is
    other than where the training began. before: the provenance of the attempt before, if there was one.
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
    own = _decisive(now)
    began = began_with(before) if before and resumed_at_step else own
    differs = [f"{name}: {began[name]} at first, {own[name]} now" for name in own if own[name] != began[name]]
    return now | {"began_with": began, "differs": differs}


def began_with(before: Mapping[str, Any]) -> dict[str, Any]:
    """What the training began with that an attempt of this provenance had part in; it alone may have been elsewhere."""
    return before.get("began_with") or _decisive(before)  # older releases noted an attempt's own alone


def _decisive(ran_on: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ran_on[name] for name in DECISIVE} | {"torch": ran_on["versions"]["torch"]}
