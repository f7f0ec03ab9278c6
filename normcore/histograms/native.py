"""The histogram kernel for the CPU, in C++: one pass over memory where torch's operators take ten.

The kernel is compiled for the machine's own processor when it is first needed, in under a second, and stored in the
user's cache. It is one function without Python's or torch's headers, so it needs one call of the compiler and no build
system.
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

from normcore.histograms.histogram import BIN_COUNT, MANTISSA_BITS, Histogram

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("histogram.cpp")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernel, or None, with one line in the log, if it cannot be compiled or loaded."""
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler is None:
        log.info("histograms use torch's operators, about ten times slower: there is no C++ compiler")
        return None
    try:
        kernel = ctypes.CDLL(str(_built(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("histograms use torch's operators, about ten times slower: %s", error)
        return None
    kernel.histogram.restype = ctypes.c_int64
    kernel.histogram.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 5, ctypes.c_int, *[ctypes.c_void_p] * 5]
    return kernel


class _Buffers(threading.local):
    """The kernel's results. Allocated once per thread: it takes as long as counting a small tensor."""

    def __init__(self) -> None:
        self.bin_index, self.counts = np.empty(BIN_COUNT, np.uint32), np.empty(BIN_COUNT, np.int64)
        self.moments, self.extremes, self.special = np.empty(2), np.empty(2, np.float32), np.empty(5, np.int64)
        arrays = (self.bin_index, self.counts, self.moments, self.extremes, self.special)
        self.addresses = [array.ctypes.data for array in arrays]


_buffers = _Buffers()


def count(x: Tensor) -> Histogram:
    """Return the histogram of a CPU tensor. Needs the library."""
    kernel = library()
    assert kernel is not None
    values, rows = _rows(x.detach().to(torch.float32))
    used = kernel.histogram(values.data_ptr(), *rows, torch.get_num_threads(), *_buffers.addresses)
    return Histogram(
        MANTISSA_BITS,
        _buffers.bin_index[:used].copy(),
        _buffers.counts[:used].copy(),
        *_buffers.special.tolist(),
        *_buffers.extremes.tolist(),
        *_buffers.moments.tolist(),
    )


def _rows(x: Tensor) -> tuple[Tensor, tuple[int, int, int, int, int]]:
    """Return the tensor and its layout: outer, outer stride, inner, inner stride, length of a contiguous row.

    The order of the values does not matter, so a crop of images with channels last is read without a copy. A tensor
    with more gaps than that is copied.
    """
    if x.is_contiguous():
        return x, (1, 0, 1, 0, x.numel())
    axes = sorted((stride, size) for size, stride in zip(x.shape, x.stride(), strict=True) if size != 1)
    merged: list[list[int]] = [[1, 1]]  # stride and size, the innermost first
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
    """Return the library's file, compiled if there is none of this source for this processor yet."""
    key = hashlib.sha256(repr((SOURCE.read_bytes(), FLAGS, compiler, _processor())).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "normcore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="normcore-"))
    built = folder / f"histogram-{key}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            output = Path(temporary) / built.name
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(output)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            output.replace(built)  # in one operation, so that another process never loads half a file
    return built


def _processor() -> str:
    """Return the processor's features: machines with different processors may share a home directory."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
