"""The machine as a process may use it: its cores, its memory and its NVIDIA GPUs. torch is not imported."""

import os
from pathlib import Path

WORKER_BYTES = 2 << 30  # of a training process of the study's network, and of a compiler that it may start
MAX_DEFAULT_WORKERS = 8


def default_workers() -> int:
    """Return how many workers a service runs by default: one for each GPU, or one for each core that has the memory.

    Workers of one thread train more images together than one worker of as many threads: on two cores 1.7 times as many.
    """
    by_device = len(gpus()) or min(cores(), MAX_DEFAULT_WORKERS)
    return max(1, min(by_device, memory_bytes() // WORKER_BYTES))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """Return the NVIDIA GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    installed = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(installed))))
    return [gpu for gpu in visible.split(",") if gpu]


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container if that is less."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(pages, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no cgroup, or no limit: then the file has the word max
        return pages
