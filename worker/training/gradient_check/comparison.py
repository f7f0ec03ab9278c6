"""The comparison of some training steps with the reference, in one precision and with one engine."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from normcore.engines import Engine
from normcore.engines.engine import preserved
from normcore.step import TrainingStep
from normlab.spec.experiment import ExperimentSpec
from worker.training.gradient_check.departures import departing_fields
from worker.training.gradient_check.errors import Errors, Kind, finite_norm, in_float64, norm_of
from worker.training.gradient_check.observed_step import ObservedStep, captured_step, copies, plain_step, point_of
from worker.training.gradient_check.reference_network import GradientName, Point, ReferenceNetwork, StepValues
from worker.training.gradient_check.reference_optimizer import ReferenceOptimizer, converted

# A normalization's outputs are about 1. Where all are far below, as of maps that are constant, they are rounding.
NORMALIZED_FLOOR = 1e-3
# A gradient below this fraction of its layer's largest is compared with that fraction, because it may be rounding: the
# gradient of a bias before batch normalization is 0, and what is computed is a sum that cancels. The network's largest
# is not the measure, because gradients may grow from layer to layer until the others are nothing beside them.
GRADIENT_FLOOR = 1e-4
# A change below this fraction of the tensor may be rounding of the tensor itself: a few units in its last place.
CHANGE_FLOOR = {torch.float64: 1e-7, torch.float32: 1e-3}


EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Subject:
    """Training steps to compare: the step, the engine that runs it, and the batches.

    batches: the indices of each step's images. steps_per_epoch: of the training. test_images: uint8 images, N 3 H W, of
    which the logits of the first `compared` ones are compared.
    """

    spec: ExperimentSpec
    step: TrainingStep
    engine: Engine
    batches: Sequence[Tensor]
    steps_per_epoch: int
    test_images: Tensor
    compared: int

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the training."""
        return next(iter(self.step.network.parameters().values())).dtype

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters, running statistics and counts by name: the live tensors."""
        return self.step.network.parameters() | self.step.network.buffers()


@dataclass
class Comparison:
    """What a comparison has measured.

    errors: of the training beside the float64 reference. rounding: of the same reference in the training's own
    precision, beside the float64 reference; empty for a training in float64. sensitivity: of the float64 reference with
    a jitter of one rounding, beside that without; only for a training in float64. departures: by layer, how far the
    gradients that the protocol's fields define are from the true ones. steps: how many were compared.
    """

    errors: Errors = field(default_factory=Errors)
    rounding: Errors = field(default_factory=Errors)
    sensitivity: Errors = field(default_factory=Errors)
    departures: dict[int, float | None] = field(default_factory=dict)
    steps: int = 0


def compare(subject: Subject, device: torch.device) -> Comparison:
    """Run the subject's steps, compare them with the reference on the device, and restore the training.

    The first step is run twice from the same state, with a capture and without. A loss that is not finite ends the
    comparison, because no later step can be compared.
    """
    comparison, start = Comparison(), copies(subject.tensors())
    exact = _Reference(subject, torch.float64, device, comparison.errors)
    if subject.dtype == torch.float64:
        rounded = _Reference(subject, torch.float64, device, comparison.sensitivity, jitter=EPS)
    else:
        rounded = _Reference(subject, subject.dtype, device, comparison.rounding)
    with preserved(subject.step):
        for indices in subject.batches:
            point = point_of(subject.step, subject.spec, indices)
            is_first, values, true_values = comparison.steps == 0, None, None
            # In float64 later steps compare the optimizer and the running statistics: the formulas are the same ones.
            if is_first or subject.dtype != torch.float64:
                values = _values_at(point, subject, exact, rounded)
            if is_first and departing_fields(subject.spec):
                true_values = exact.network.at(point, true_gradients=True)
            for reference in (exact, rounded):
                reference.follow_batch(point)
            point.outputs.clear()  # They take as much memory as the training's own step, which follows.
            captured = captured_step(subject.step, subject.engine, subject.spec, indices) if is_first else None
            if captured is not None and values is not None:
                _add_step(comparison.errors, subject, captured, values)
                comparison.departures = _departures(subject, captured, true_values)
            plain = plain_step(subject.step, subject.engine, indices)
            if values is not None:
                _add_step(comparison.errors, subject, plain, values)
            if captured is not None:
                _add_capture(comparison.errors, subject, captured, plain, start)
            for reference in (exact, rounded):
                reference.follow_update(plain)
            comparison.steps += 1
            if not math.isfinite(float(plain.loss)):
                break
        _add_end(comparison, subject, exact, rounded, start)
    return comparison


class _Reference:
    """The reference in one precision: its network, and its own parameters and running statistics after each step."""

    def __init__(
        self, subject: Subject, dtype: torch.dtype, device: torch.device, errors: Errors, *, jitter: float = 0.0
    ) -> None:
        like, step = torch.empty(0, dtype=dtype, device=device), subject.step
        self.errors = errors
        self.network = ReferenceNetwork(subject.spec, like, jitter=jitter)
        self.optimizer = ReferenceOptimizer(
            subject.spec,
            step.network.parameters(),
            step.optimizer.state(),
            steps=step.optimizer.steps,
            steps_per_epoch=subject.steps_per_epoch,
            like=like,
        )
        self.buffers = {name: converted(tensor, like) for name, tensor in step.network.buffers().items()}

    def follow_batch(self, point: Point) -> None:
        """Average in the batch of a step."""
        self.buffers = self.network.buffers_after(point, self.buffers)

    def follow_update(self, step: ObservedStep) -> None:
        """Update by the gradients that the training's step had, so that the optimizer is compared by itself."""
        self.optimizer.step({f"{index}.{name}": gradient for (index, name), gradient in step.gradients})


def _values_at(point: Point, subject: Subject, exact: _Reference, rounded: _Reference) -> StepValues:
    """Return what the float64 reference computes at a point, and compare the outputs and the rounding with it."""
    values = exact.network.at(point)
    _add_outputs(exact.errors, subject, point.outputs, values)
    _add_values(rounded.errors, subject, rounded.network.at(point), values)
    values.outputs.clear()
    return values


def _add_end(
    comparison: Comparison,
    subject: Subject,
    exact: _Reference,
    rounded: _Reference,
    start: Mapping[str, Tensor],
) -> None:
    """Compare the parameters and running statistics after the steps, and the logits of a test pass with them."""
    step, images = subject.step, subject.test_images[: subject.compared]
    parameters, buffers = step.network.parameters(), step.network.buffers()
    logits = subject.engine.test_logits(subject.test_images)[: subject.compared]
    expected_logits = exact.network.test_logits(images, parameters, buffers)
    comparison.errors.add((Kind.LOGITS, 0), logits, expected_logits)
    rounded.errors.add((Kind.LOGITS, 0), rounded.network.test_logits(images, parameters, buffers), expected_logits)
    for errors, own_parameters, own_buffers in (
        (comparison.errors, parameters, buffers),
        (rounded.errors, rounded.optimizer.parameters, rounded.buffers),
    ):
        _add_changes(errors, Kind.PARAMETER, subject, own_parameters, exact.optimizer.parameters, start)
        _add_changes(errors, Kind.BUFFER, subject, own_buffers, exact.buffers, start)


def _add_step(errors: Errors, subject: Subject, step: ObservedStep, values: StepValues) -> None:
    errors.add((Kind.LOSS, 0), step.loss, values.loss)
    errors.add((Kind.CORRECT, 0), step.correct, values.correct)
    _add_gradients(errors, subject, step.gradients, values)


def _add_values(errors: Errors, subject: Subject, own: StepValues, values: StepValues) -> None:
    errors.add((Kind.LOSS, 0), own.loss, values.loss)
    errors.add((Kind.CORRECT, 0), own.correct, values.correct)
    _add_outputs(errors, subject, own.outputs, values)
    _add_gradients(errors, subject, own.gradients.items(), values)


def _add_outputs(errors: Errors, subject: Subject, outputs: Mapping[int, Tensor], values: StepValues) -> None:
    layers = subject.spec.layer_shapes()
    for index, output in outputs.items():
        is_normalization = index >= 0 and layers[index].kind == "normalization"
        floor = NORMALIZED_FLOOR * math.sqrt(output.numel()) if is_normalization else 0.0
        errors.add((Kind.OUTPUT, index), output, values.outputs[index], floor=floor)


def _add_gradients(
    errors: Errors, subject: Subject, gradients: Iterable[tuple[GradientName, Tensor]], values: StepValues
) -> None:
    largest = [0.0] * len(subject.spec.layer_shapes())
    for (index, _), reference in values.gradients.items():
        largest[index] = max(largest[index], finite_norm(reference))
    for (index, name), gradient in gradients:
        floor = GRADIENT_FLOOR * largest[index]
        errors.add((Kind.GRADIENTS, index), gradient, values.gradients[index, name], floor=floor)


def _add_changes(
    errors: Errors,
    kind: Kind,
    subject: Subject,
    ours: Mapping[str, Tensor],
    reference: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
) -> None:
    """Compare how far tensors have moved from the start."""
    for name, after in reference.items():
        before = in_float64(start[name], after)
        floor = CHANGE_FLOOR[subject.dtype] * norm_of(before)
        errors.add((kind, name), in_float64(ours[name], after) - before, in_float64(after, after) - before, floor=floor)


def _add_capture(
    errors: Errors, subject: Subject, captured: ObservedStep, plain: ObservedStep, start: Mapping[str, Tensor]
) -> None:
    """Compare the training after the step with a capture with that after the step without one."""
    if captured.after is None or plain.after is None:
        return
    for name, after in plain.after.items():
        before = in_float64(start[name], after)
        floor = CHANGE_FLOOR[subject.dtype] * norm_of(before)
        change = in_float64(captured.after[name], after) - before
        errors.add((Kind.CAPTURE, 0), change, in_float64(after, after) - before, floor=floor)


def _departures(subject: Subject, step: ObservedStep, true_values: StepValues | None) -> dict[int, float | None]:
    """Return for each layer how far its gradients are from the true ones, if the protocol's fields change any."""
    if true_values is None:
        return {}
    errors = Errors()
    _add_gradients(errors, subject, step.gradients, true_values)
    return {index: errors[Kind.GRADIENTS, index] for index in range(len(subject.spec.layer_shapes()))}
