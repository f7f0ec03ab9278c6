"""The whole step compiled by torch.compile: forward, backward and optimizer, fused across each other."""

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
    """Runs batches of one size, the first one's; another size would be compiled again.

    The compiled step always returns what a probe of the captured layers reads, which is in memory in any case. The same
    machine code therefore runs with and without a probe. The images' gradient alone is computed when it is needed.

    Args:
        step: The step to compile.
        captured: The indices of the layers that probes observe.

    Raises EngineUnavailable if there is no compiler for the device.
    """

    def __init__(self, step: TrainingStep, captured: Collection[int]) -> None:
        check_compiler(step.images.device)
        self._step, self._captured = step, frozenset(captured)
        # torch limits how often one function is compiled, and counts what earlier experiments compiled.
        torch.compiler.reset()
        # The C++ wrapper leaves out Python between the kernels; it exists for the CPU.
        options: Options = {"cpp_wrapper": True} if step.images.device.type == "cpu" else {}
        self._run = torch.compile(self._observed_step, fullgraph=True, dynamic=False, options=options)
        self._test_logits = torch.compile(step.test_logits, fullgraph=True, dynamic=False, options=options)
        self._test_batch: torch.Size | None = None

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """Train one step; the probe observes the captured layers."""
        coefficients = self._step.next_coefficients()
        # The images' gradient is computed after the step, from the weights as they were before it.
        before = deepcopy(self._step.network.image_layers) if probe is not None else {}
        result, observed = self._run(indices, coefficients)
        if probe is not None:
            for index, layer_gradients in observed:
                if layer_gradients.dx is None:
                    dx = before[index].input_gradient(layer_gradients.dout, layer_gradients.cache)
                    layer_gradients = layer_gradients._replace(dx=dx)
                probe(index, layer_gradients)
        return result

    def test_logits(self, images: Tensor) -> Tensor:
        """Return the logits. The first batch's size is compiled; a smaller last batch runs eagerly."""
        self._test_batch = self._test_batch or images.shape
        return self._test_logits(images) if images.shape == self._test_batch else self._step.test_logits(images)

    def _observed_step(
        self, indices: Tensor, coefficients: Tensor
    ) -> tuple[StepResult, list[tuple[int, LayerGradients]]]:
        observed: list[tuple[int, LayerGradients]] = []

        def keep(index: int, layer_gradients: LayerGradients) -> None:
            if index in self._captured:
                if layer_gradients.dx is not None:
                    # Only what is returned must be written to memory, so a cache that is not needed is left out.
                    layer_gradients = layer_gradients._replace(cache=None)
                observed.append((index, layer_gradients))

        return self._step(indices, coefficients, keep), observed


def check_compiler(device: torch.device) -> None:
    """Raise EngineUnavailable if torch.compile lacks what it needs to compile for the device."""
    if device.type not in ("cpu", "cuda"):
        raise EngineUnavailable(f"torch.compile is not used on {device.type}")
    if device.type == "cpu":
        if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
            raise EngineUnavailable("torch.compile needs a C++ compiler on the CPU, and this machine has none")
        headers = Path(sysconfig.get_path("include"))
        if not (headers / "Python.h").exists():
            raise EngineUnavailable(f"torch.compile needs Python's headers on the CPU, and {headers} has none")
