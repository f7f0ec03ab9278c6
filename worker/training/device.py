"""Which device an experiment trains on."""

import torch


class DeviceUnavailable(Exception):
    """The spec names a device that this machine does not have."""


def choose(requested: str) -> torch.device:
    """Return the device that a spec names; `auto` is cuda, else mps, else cpu. Raises DeviceUnavailable."""
    if requested == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
    device = torch.device(requested)
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.mps.is_available()), "cpu": 1}[device.type]
    if (device.index or 0) >= count:
        raise DeviceUnavailable(
            f'this machine has no device {requested}; use "auto", or start a worker on a machine that has one'
        )
    return device


def name(device: torch.device) -> str:
    """Return the device's product name, or its type if it has none."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
