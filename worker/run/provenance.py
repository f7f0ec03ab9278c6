"""The provenance of an attempt: what it runs on, in enough detail to explain why two results differ."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from normcore.engines import EngineChoice
from worker.run.commit import product_commit
from worker.training import device as devices

# Together with torch's version, these decide the last bits of a result.
BIT_RELEVANT = ("device_name", "threads", "engine")


def provenance(
    device: torch.device,
    choice: EngineChoice,
    *,
    data: dict[str, Any],
    seed: int,
    resumed_at_step: int | None,
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return versions, commit, device, threads, engine with its reason, seed, data, and the step it resumed at, if any.

    `began_with` is what the training began with, of what decides its last bits. `differs` lists in words where this
    attempt differs from it. data: as `describe` returns it. before: the provenance of the previous attempt, if there
    was one.
    """
    current = {
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("normlab", "torch", "numpy")},
        "commit": product_commit(),
        "device": str(device),
        "device_name": devices.name(device),
        "engine": choice.name,
        "engine_reason": choice.reason,
        "threads": torch.get_num_threads(),
        "host": platform.node(),
        "seed": seed,
        "resumed_at_step": resumed_at_step,
        "data": data,
    }
    own = _bit_relevant(current)
    began = first_provenance(before) if before and resumed_at_step else own
    differs = [
        f"{name}: {began[name]} at first, {own[name]} now" for name in own if own[name] != began.get(name, own[name])
    ]
    return current | {"began_with": began, "differs": differs}


def first_provenance(before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the training began with, from the provenance of a previous attempt.

    A provenance without `began_with` is of an older release. The training then counts as begun on that attempt's own.
    """
    return before.get("began_with") or _bit_relevant(before)


def _bit_relevant(attempt: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: attempt[name] for name in BIT_RELEVANT} | {"torch": attempt["versions"]["torch"]}
    # An older release did not store its data.
    return values | ({"data_sha256": attempt["data"]["sha256"]} if "data" in attempt else {})
