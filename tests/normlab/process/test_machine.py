"""How many workers a service runs on a machine by default."""

import pytest

from normlab.process import machine

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cores", "memory", "gpus", "workers"),
    [(2, 24, "", 2), (2, 3, "", 1), (1, 1, "", 1), (64, 256, "", 8), (6, 9, "", 4), (64, 256, "0,1", 2)],
)
def test_default_workers_fit_cores_memory_and_gpus(monkeypatch, cores, memory, gpus, workers):
    """There is one worker for each GPU, or for each core that has 2 GiB of memory, at least one and at most 8."""
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(machine, "memory_bytes", lambda: memory * GIB)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    assert machine.default_workers() == workers
