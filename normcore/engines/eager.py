"""The step as it is written, an operator at a time."""

from dataclasses import dataclass

from torch import Tensor

from normcore.network import Probe
from normcore.step import StepResult, TrainingStep


@dataclass(frozen=True)
class Eager:
    """Needs nothing but torch, and takes batches of any size."""

    step: TrainingStep

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """One step; the probe sees every layer."""
        return self.step(indices, self.step.next_coefficients(), probe, images_gradient=probe is not None)

    def infer(self, images: Tensor) -> Tensor:
        """Scores of any number of images."""
        return self.step.infer(images)
