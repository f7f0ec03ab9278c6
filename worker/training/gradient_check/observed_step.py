"""One step of the training as it is observed for the comparison: with a capture, and without."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from normcore.engines import Engine
from normcore.engines.engine import preserved
from normcore.network import LayerGradients
from normcore.step import StepResult, TrainingStep
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import IMAGES
from worker.training.gradient_check.reference_network import GradientName, Point


@dataclass(frozen=True)
class ObservedStep:
    """What one step computed, and the network's parameters, running statistics and counts after it.

    gradients: each gradient that the step let somebody see, so one name may occur twice. after: None if nothing was
    updated.
    """

    loss: Tensor
    correct: Tensor
    gradients: list[tuple[GradientName, Tensor]]
    after: Mapping[str, Tensor] | None


def point_of(step: TrainingStep, spec: ExperimentSpec, indices: Tensor) -> Point:
    """Return where the next step stands: its batch, the network's state, and the output of each layer there.

    The layers run one by one, each with the inputs that the spec gives it. Running statistics are restored.
    """
    parameters, buffers = copies(step.network.parameters()), copies(step.network.buffers())
    outputs = {IMAGES: step.batch(indices)}
    with preserved(step):
        for index, (layer, shape) in enumerate(zip(step.network.layers, spec.layer_shapes(), strict=True)):
            outputs[index], _ = layer.forward(*(outputs[source] for source in shape.inputs))
    return Point(step.images[indices], step.labels[indices], outputs, parameters, buffers)


def plain_step(step: TrainingStep, engine: Engine, indices: Tensor) -> ObservedStep:
    """Train one step without a capture."""
    return _observed(step, engine(indices), [])


def captured_step(step: TrainingStep, engine: Engine, spec: ExperimentSpec, indices: Tensor) -> ObservedStep:
    """Train one step with a capture, as the spec's capture_moment has it, and restore the training."""
    seen: list[tuple[GradientName, Tensor]] = []

    def probe(index: int, layer: LayerGradients) -> None:
        seen.extend(((index, name), gradient) for name, gradient in layer.gradients.items())
        if layer.dx is not None:
            seen.append(((index, "dx"), layer.dx))

    with preserved(step):
        if spec.capture_moment == "last_step":
            return _observed(step, engine(indices, probe), seen)
        result = step.gradients(indices, probe, images_gradient=True)
        return ObservedStep(result.loss, result.correct, _by_layer(result) + seen, None)


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors by name."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _observed(step: TrainingStep, result: StepResult, seen: list[tuple[GradientName, Tensor]]) -> ObservedStep:
    after = copies(step.network.parameters() | step.network.buffers())
    return ObservedStep(result.loss, result.correct, _by_layer(result) + seen, after)


def _by_layer(result: StepResult) -> list[tuple[GradientName, Tensor]]:
    """Return the gradients by the layer's index and the parameter's own name."""
    named = ((name.split(".", 1), gradient) for name, gradient in result.gradients.items())
    return [((int(index), name), gradient) for (index, name), gradient in named]
