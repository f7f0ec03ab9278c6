"""The step as it is written, one operator at a time."""

from dataclasses import dataclass

from torch import Tensor

from normcore.network import Probe
from normcore.step import StepResult, TrainingStep


@dataclass(frozen=True)
class Eager:
    """Runs batches of any size, and needs nothing but torch."""

    step: TrainingStep

    def __call__(self, indices: Tensor, probe: Probe | None = None) -> StepResult:
        """Train one step; the probe observes every layer."""
        return self.step(indices, self.step.next_coefficients(), probe, images_gradient=probe is not None)

    def test_logits(self, images: Tensor) -> Tensor:
        """Return the logits of any number of images."""
        return self.step.test_logits(images)
