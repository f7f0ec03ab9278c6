"""Which device an experiment trains on."""

import torch


class DeviceUnavailable(Exception):
    """The spec names a device that this machine does not have."""


def choose(wanted: str) -> torch.device:
    """The device of a spec: `auto` is cuda, else mps, else cpu. Raises DeviceUnavailable."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
    device = torch.device(wanted)
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.mps.is_available()), "cpu": 1}[device.type]
    if (device.index or 0) >= there:
        raise DeviceUnavailable(
            f'this machine has no device {wanted}; use "auto", or start a worker where there is one'
        )
    return device


def name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
