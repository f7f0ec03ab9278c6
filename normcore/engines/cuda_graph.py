"""The step recorded once as a CUDA graph and replayed: no work for the host but one launch."""

from collections.abc import Callable

import torch
from torch import Tensor

from normcore.engines.engine import EngineUnavailable, preserved
from normcore.network import LayerGradients, Probe
from normcore.step import StepResult, TrainingStep

WARM_UP = 3  # runs before recording, in which libraries choose their algorithms and allocate what they keep

Seen = list[tuple[int, LayerGradients]]
Recorded = Callable[[Tensor, Tensor], tuple[StepResult, Seen]]


class CudaGraph:
    """Runs batches of one size, that of the indices it is made with: a graph's memory is fixed.

    It records two graphs of the same kernels, with a probe and, when first somebody looks, without: what is trained is
    the same. Raises EngineUnavailable off CUDA.
    """

    def __init__(self, step: TrainingStep, indices: Tensor) -> None:
        if step.images.device.type != "cuda":
            raise EngineUnavailable(f"CUDA graphs need a CUDA device, not {step.images.device.type}")
        self._step = step
        self._indices = indices.clone()
        with preserved(step):
            self._coefficients = step.next_coefficients().clone()
        self._blind = _Graph(step, self._unseen, self._indices, self._coefficients)
        self._seeing: _Graph | None = None

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """One step; the probe sees every layer."""
        if probe is not None and self._seeing is None:
            self._seeing = _Graph(self._step, self._seen, self._indices, self._coefficients)
        self._indices.copy_(indices)
        self._coefficients.copy_(self._step.next_coefficients())
        graph = self._blind if probe is None or self._seeing is None else self._seeing
        outcome, seen = graph.replay()
        if probe is not None:
            for place, passed in seen:
                probe(place, passed)
        return outcome

    def infer(self, images: Tensor) -> Tensor:
        """As it is written: test batches are large, and launching them takes less than they do."""
        return self._step.infer(images)

    def _unseen(self, indices: Tensor, coefficients: Tensor) -> tuple[StepResult, Seen]:
        return self._step(indices, coefficients), []

    def _seen(self, indices: Tensor, coefficients: Tensor) -> tuple[StepResult, Seen]:
        seen: Seen = []
        outcome = self._step(
            indices, coefficients, lambda place, passed: seen.append((place, passed)), images_gradient=True
        )
        return outcome, seen


class _Graph:
    """One recording, and the tensors that each replay leaves its results in."""

    def __init__(self, step: TrainingStep, run: Recorded, indices: Tensor, coefficients: Tensor) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with preserved(step):
            beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UP):
                    run(indices, coefficients)
            torch.cuda.current_stream().wait_stream(beside)
            with torch.cuda.graph(self._graph):
                self._results = run(indices, coefficients)

    def replay(self) -> tuple[StepResult, Seen]:
        """Run it; the results are overwritten by the next replay."""
        self._graph.replay()
        return self._results
