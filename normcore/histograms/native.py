"""Counting on the CPU by a loop in C++: one pass over memory where torch's operators take ten.

The loop is compiled for this very processor when it is first needed (under a second) and kept in the user's cache. It
is one function without Python's or torch's headers, hence a call of the compiler and no build system.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from normcore.histograms.histogram import CODES, Histogram

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("histogram.cpp")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loop; None, said once in the log, where it cannot be had."""
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler is None:
        log.info("histograms are counted by torch's operators, some ten times slower: there is no C++ compiler")
        return None
    try:
        loop = ctypes.CDLL(str(_built(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("histograms are counted by torch's operators, some ten times slower: %s", error)
        return None
    loop.histogram.restype = ctypes.c_int64
    loop.histogram.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 5, ctypes.c_int, *[ctypes.c_void_p] * 5]
    return loop


class _Room(threading.local):
    """Where the loop leaves its results. Made once a thread: making it takes as long as counting a small tensor."""

    def __init__(self) -> None:
        self.codes, self.counts = np.empty(CODES, np.uint16), np.empty(CODES, np.int64)
        self.sums, self.extremes, self.special = np.empty(2), np.empty(2, np.float32), np.empty(5, np.int64)
        arrays = (self.codes, self.counts, self.sums, self.extremes, self.special)
        self.addresses = [array.ctypes.data for array in arrays]


_room = _Room()


def count(x: Tensor) -> Histogram:
    """The histogram of a CPU tensor. Needs the library."""
    loop = library()
    assert loop is not None
    values, rows = _rows(x.detach().to(torch.float32))
    used = loop.histogram(values.data_ptr(), *rows, torch.get_num_threads(), *_room.addresses)
    return Histogram(
        _room.codes[:used].copy(),
        _room.counts[:used].copy(),
        *_room.special.tolist(),
        *_room.extremes.tolist(),
        *_room.sums.tolist(),
    )


def _rows(x: Tensor) -> tuple[Tensor, tuple[int, int, int, int, int]]:
    """The tensor and how it lies: outer, outer stride, inner, inner stride, length of a row of neighbours.

    The order of the values does not matter, so a crop of images with channels last is read where it lies. What has more
    gaps than that is copied.
    """
    if x.is_contiguous():
        return x, (1, 0, 1, 0, x.numel())
    axes = sorted((stride, size) for size, stride in zip(x.shape, x.stride(), strict=True) if size != 1)
    merged: list[list[int]] = [[1, 1]]  # stride and size, from the innermost
    for stride, size in axes:
        if stride == merged[-1][0] * merged[-1][1]:
            merged[-1][1] *= size
        else:
            merged.append([stride, size])
    if len(merged) > 3:
        return x.contiguous(), (1, 0, 1, 0, x.numel())
    (_, length), (inner_stride, inner), (outer_stride, outer) = merged + [[0, 1]] * (3 - len(merged))
    return x, (outer, outer_stride, inner, inner_stride, length)


def _built(compiler: str) -> Path:
    """The library's file, compiled if there is none yet of this source for this processor."""
    key = hashlib.sha256(repr((SOURCE.read_bytes(), FLAGS, compiler, _processor())).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "normcore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="normcore-"))
    built = folder / f"histogram-{key}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            made = Path(aside) / built.name
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            made.replace(built)  # at once, so that another process never loads half a file
    return built


def _processor() -> str:
    """What the compiled loop depends on: a home may be shared by machines whose processors differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
