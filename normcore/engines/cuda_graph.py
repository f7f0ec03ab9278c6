"""The step recorded once as a CUDA graph and replayed: the host launches one graph instead of every kernel."""

from collections.abc import Callable

import torch
from torch import Tensor

from normcore.engines.engine import EngineUnavailable, preserved
from normcore.network import LayerGradients, Probe
from normcore.step import StepResult, TrainingStep

WARM_UP = 3  # runs before the recording, in which libraries choose their algorithms and allocate their memory

Observed = list[tuple[int, LayerGradients]]
Recorded = Callable[[Tensor, Tensor], tuple[StepResult, Observed]]


class CudaGraph:
    """Runs batches of one size, because a graph's memory is fixed.

    Two graphs of the same kernels are recorded: one without a probe, and one with a probe at the first call that has
    one. Both train the same.

    Args:
        step: The step to record.
        indices: Indices of a batch of that size, N int64 on the device.

    Raises EngineUnavailable if the device is not CUDA.
    """

    def __init__(self, step: TrainingStep, indices: Tensor) -> None:
        if step.images.device.type != "cuda":
            raise EngineUnavailable(f"CUDA graphs need a CUDA device, not {step.images.device.type}")
        self._step = step
        self._indices = indices.clone()
        with preserved(step):
            self._coefficients = step.next_coefficients().clone()
        self._plain = _Graph(step, self._plain_step, self._indices, self._coefficients)
        self._observed: _Graph | None = None

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """Train one step; the probe observes every layer."""
        if probe is not None and self._observed is None:
            self._observed = _Graph(self._step, self._observed_step, self._indices, self._coefficients)
        self._indices.copy_(indices)
        self._coefficients.copy_(self._step.next_coefficients())
        graph = self._plain if probe is None or self._observed is None else self._observed
        result, observed = graph.replay()
        if probe is not None:
            for index, layer_gradients in observed:
                probe(index, layer_gradients)
        return result

    def test_logits(self, images: Tensor) -> Tensor:
        """Return the logits, eagerly: test batches are large, so launching the kernels takes less time than they do."""
        return self._step.test_logits(images)

    def _plain_step(self, indices: Tensor, coefficients: Tensor) -> tuple[StepResult, Observed]:
        return self._step(indices, coefficients), []

    def _observed_step(self, indices: Tensor, coefficients: Tensor) -> tuple[StepResult, Observed]:
        observed: Observed = []

        def keep(index: int, layer_gradients: LayerGradients) -> None:
            observed.append((index, layer_gradients))

        return self._step(indices, coefficients, keep, images_gradient=True), observed


class _Graph:
    """One recording, and the tensors into which each replay writes its results."""

    def __init__(self, step: TrainingStep, run: Recorded, indices: Tensor, coefficients: Tensor) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with preserved(step):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    run(indices, coefficients)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(self._graph):
                self._results = run(indices, coefficients)

    def replay(self) -> tuple[StepResult, Observed]:
        """Run the graph and return its results, which the next replay overwrites."""
        self._graph.replay()
        return self._results
