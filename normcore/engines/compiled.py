"""The whole step compiled by torch.compile: forward, backward and optimizer fused across each other."""

import os
import shutil
import sysconfig
from collections.abc import Callable, Collection
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normcore.engines.engine import EngineUnavailable
from normcore.network import LayerGradients, Probe
from normcore.step import StepResult, TrainingStep

Options = dict[str, str | int | bool | Callable[..., Any]]


class Compiled:
    """Runs batches of the one size it is first given: another size would be compiled anew.

    The compiled step always returns what a probe of the captured layers reads, which lies in memory anyway, so that the
    same machine code runs with and without a probe. Only the images' gradient is computed when asked for.

    Raises EngineUnavailable where there is no compiler for the device.
    """

    def __init__(self, step: TrainingStep, captured: Collection[int]) -> None:
        check_compiler(step.images.device)
        self._step, self._captured = step, frozenset(captured)
        torch.compiler.reset()  # an experiment at a time: what earlier ones compiled would only count against a limit
        options: Options = (
            {"cpp_wrapper": True} if step.images.device.type == "cpu" else {}
        )  # no Python between the kernels
        self._run = torch.compile(self._whole, fullgraph=True, dynamic=False, options=options)
        self._infer = torch.compile(step.infer, fullgraph=True, dynamic=False, options=options)
        self._test_batch: torch.Size | None = None

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """One step; the probe sees the captured places."""
        coefficients = self._step.next_coefficients()
        # The images' gradient is made after the step, from the weights that were before it.
        before = deepcopy(self._step.network.first) if probe is not None else {}
        outcome, seen = self._run(indices, coefficients)
        if probe is not None:
            for place, passed in seen:
                if passed.dx is None:
                    passed = passed._replace(dx=before[place].input_gradient(passed.dout, passed.cache))
                probe(place, passed)
        return outcome

    def infer(self, images: Tensor) -> Tensor:
        """Scores; compiled for as many images as come first, a last smaller batch as it is written."""
        self._test_batch = self._test_batch or images.shape
        return self._infer(images) if images.shape == self._test_batch else self._step.infer(images)

    def _whole(self, indices: Tensor, coefficients: Tensor) -> tuple[StepResult, list[tuple[int, LayerGradients]]]:
        seen: list[tuple[int, LayerGradients]] = []

        def keep(place: int, passed: LayerGradients) -> None:
            if place in self._captured:  # a cache that is returned must be written to memory
                seen.append((place, passed if passed.dx is None else passed._replace(cache=None)))

        return self._step(indices, coefficients, keep), seen


def check_compiler(device: torch.device) -> None:
    """Raises EngineUnavailable where torch.compile would lack what it compiles with for the device."""
    if device.type not in ("cpu", "cuda"):
        raise EngineUnavailable(f"torch.compile is not used on {device.type}")
    if device.type == "cpu":
        if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
            raise EngineUnavailable("torch.compile needs a C++ compiler on the CPU, and there is none here")
        headers = Path(sysconfig.get_path("include"))
        if not (headers / "Python.h").exists():
            raise EngineUnavailable(f"torch.compile needs Python's headers on the CPU, and {headers} has none")
