"""Training one experiment: epochs of steps, captures of the layers, the test pass, and the state to resume from."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from normcore import cross_entropy
from normcore.engines import Eager, Engine, EngineChoice, EngineName, choose
from normcore.step import TrainingStep
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.single_values import check_statistics, smallest_batch
from normlab.spec.size_estimate import TEST_BATCH
from normlab.store.records import Capture, EpochMetrics, Record
from worker.datasets import ImageData, Split
from worker.errors import InvalidExperiment
from worker.training.build_network import build_network
from worker.training.build_optimizer import build_optimizer
from worker.training.capture import WEIGHTED, LayerCapture, layers_to_capture
from worker.training.checkpoints import State, pack, restore, state_of
from worker.training.nominal_time import step_seconds

OnStep = Callable[[int, Tensor], None]  # the step's number and its loss, on the device


@dataclass
class EpochSums:
    """Sums over an epoch's steps so far, on the device, so that no step waits for the host.

    losses holds each step's loss times its number of images, and 0 for the steps to come. correct and images are
    scalars. seconds is the time of the steps so far, on the host.
    """

    losses: Tensor
    correct: Tensor
    images: Tensor
    seconds: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    @classmethod
    def of(cls, steps: int, device: torch.device) -> Self:
        """Return the sums at the start of an epoch of so many steps."""
        return cls(torch.zeros(steps, device=device), _count(device), _count(device))

    def state(self) -> State:
        """Return the live tensors, by their names in a checkpoint."""
        return {f"epoch/{name}": tensor for name, tensor in vars(self).items()}


class Training:
    """The training of one experiment: data, network, optimizer, and how many steps are done.

    `state` returns its whole state: parameters, running statistics, the optimizer's averages, and the sums of an epoch
    that has started and is not tested yet. The order of the batches and dropout's masks are functions of the seed and
    of the number of batches before.

    Args:
        spec: The experiment.
        data: Its images and labels.
        device: Where to train.

    Raises InvalidExperiment if the network does not fit the data set's number of classes, or if a normalization would
    have statistics of a single value.
    """

    def __init__(self, spec: ExperimentSpec, data: ImageData, device: torch.device) -> None:
        self.spec = spec = spec.with_classes(data.classes)
        try:
            self.layers = spec.layer_shapes()
        except ValueError as error:
            raise InvalidExperiment(f"with the data set's {data.classes} classes: {error}") from None
        if self.layers[-1].output_shape[0] != data.classes:
            raise InvalidExperiment(
                f"the network ends in {self.layers[-1].output_shape[0]} logits, the data set has {data.classes} "
                "classes; let the last layer output `classes`"
            )
        try:
            check_statistics(self.layers, smallest_batch(len(data.train.labels), spec.batch_size))
        except ValueError as error:
            raise InvalidExperiment(f"with {len(data.train.labels)} training images: {error}") from None
        self.device = device
        self.train, self.test = (Split(s.images.to(device), s.labels.to(device)) for s in (data.train, data.test))
        self.network = build_network(spec, device)
        self.steps_per_epoch = math.ceil(len(self.train.labels) / spec.batch_size)
        parameters = self.network.parameters()
        self.optimizer = build_optimizer(spec, parameters, steps_per_epoch=self.steps_per_epoch)
        self.weights = {
            index: parameters[f"{index}.weight"] for index, layer in enumerate(self.layers) if layer.kind in WEIGHTED
        }
        self._sums = EpochSums.of(self.steps_per_epoch, device)
        self._captures: list[Capture] = []  # since the last record
        self._recorded = 0  # the steps that the last record includes
        self.epochs_done = 0  # whole epochs, tested
        self.step = TrainingStep(self.network, self.optimizer, self.train.images, self.train.labels)
        self.eager = Eager(self.step)  # for a last batch that is not full
        self.engine: Engine = self.eager

    def ready(self, engine_name: EngineName | Literal["auto"]) -> EngineChoice:
        """Prepare the engine that trains full batches from now on, and return it with the reason of the choice."""
        batch = self.batches(0)[0]
        if len(batch) < self.spec.batch_size:
            return EngineChoice(self.eager, "eager", "there are fewer images than one full batch")
        # Of the whole training and not of the rest of it: an interruption must not change the choice.
        steps = self.spec.epochs * self.steps_per_epoch
        eager_seconds = steps * step_seconds(self.layers, self.spec.batch_size)
        captured = layers_to_capture(self.layers, self.spec.capture_quantities)
        choice = choose(self.step, engine_name, indices=batch, eager_seconds=eager_seconds, captured=captured)
        self.engine = choice.engine
        return choice

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the parameters."""
        return next(iter(self.network.parameters().values())).dtype

    @property
    def test_batch_size(self) -> int:
        """The number of images at once in the test pass. Slot statistics have one slot for each of a batch's images."""
        return self.spec.batch_size if self.spec.test_statistics == "slot" else TEST_BATCH

    @property
    def steps_done(self) -> int:
        """The number of steps of the whole training that are done."""
        return self.optimizer.steps

    def state(self) -> State:
        """Return all that training resumes from: the live tensors, no copies. Between epochs there are no sums."""
        return state_of(self.network, self.optimizer) | (self._sums.state() if self._is_inside() else {})

    def resume(self, state: State) -> None:
        """Continue from a checkpoint's state. Raises InvalidExperiment if it is of another network."""
        self._sums = EpochSums.of(self.steps_per_epoch, self.train.labels.device)
        sums = self._sums.state()
        inside = not sums.keys().isdisjoint(state)
        restore(state, state_of(self.network, self.optimizer) | (sums if inside else {}))
        self.optimizer.steps = int(state["steps"])
        # Inside an epoch all of its steps may be done, with its test pass still to come.
        self.epochs_done = (self.steps_done - inside) // self.steps_per_epoch
        self._captures, self._recorded = [], self.steps_done

    def unrecorded(self) -> Record | None:
        """Return a record of the steps since the last one, to resume inside the epoch or before its test pass.

        Return None if there are none, or if the state is not finite: the first value that is not finite is then
        searched at the epoch's end, from the epoch's start.
        """
        if self.steps_done == self._recorded:
            return None
        if not all(bool(tensor.isfinite().all()) for tensor in self.state().values()):
            return None
        return self._record(None)

    def run_epoch(self, on_step: OnStep, on_test_batch: Callable[[], None] = lambda: None) -> Record:
        """Train an epoch, or the rest of one, test, and return the record. Both callbacks may raise, to stop."""
        epoch = self.epochs_done
        self._train(epoch, on_step)
        images, seconds = int(self._sums.images), float(self._sums.seconds)
        train_loss, train_accuracy = float(self._sums.losses.sum()) / images, int(self._sums.correct) / images
        began = time.perf_counter()
        test_loss, test_accuracy = self.run_test(on_test_batch)
        metrics = EpochMetrics(
            epoch=epoch,
            train_loss=_finite(train_loss),
            train_accuracy=train_accuracy,
            test_loss=_finite(test_loss),
            test_accuracy=test_accuracy,
            train_seconds=seconds,
            test_seconds=time.perf_counter() - began,
            images_per_second=images / seconds,
        )
        self._sums = EpochSums.of(self.steps_per_epoch, self.train.labels.device)
        self.epochs_done += 1
        return self._record(metrics)

    def run_test(self, on_batch: Callable[[], None] = lambda: None) -> tuple[float, float]:
        """Return the mean loss and the accuracy over all test images."""
        size = self.test_batch_size
        loss = torch.zeros((), device=self.test.labels.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.test.labels.device)
        for images, labels in zip(
            torch.split(self.test.images, size), torch.split(self.test.labels, size), strict=True
        ):
            logits = self.engine.test_logits(images)
            loss += cross_entropy(logits, labels)[0] * len(labels)
            correct += (logits.argmax(1) == labels).sum()
            on_batch()
        return float(loss) / len(self.test.labels), int(correct) / len(self.test.labels)

    def batches(self, epoch: int) -> list[Tensor]:
        """Return the indices of each step's images, on the device: a function of the seed and the epoch alone."""
        count = len(self.train.labels)
        order = np.random.default_rng([self.spec.seed, epoch]).permutation(count) if self.spec.shuffle else range(count)
        indices = torch.as_tensor(np.asarray(order), device=self.train.labels.device)
        return list(torch.split(indices, self.spec.batch_size))

    def _is_inside(self) -> bool:
        """Return whether an epoch has started and is not tested yet."""
        return self.steps_done > self.epochs_done * self.steps_per_epoch

    def _record(self, metrics: EpochMetrics | None) -> Record:
        record = Record(metrics, tuple(self._captures), pack(self.state()))
        self._captures, self._recorded = [], self.steps_done
        return record

    def _train(self, epoch: int, on_step: OnStep) -> None:
        sums, batches, began = self._sums, self.batches(epoch), time.perf_counter()
        for batch in range(self.steps_done - epoch * self.steps_per_epoch, len(batches)):
            indices, step, last = batches[batch], self.steps_done + 1, batch == len(batches) - 1
            engine = self.engine if len(indices) == self.spec.batch_size else self.eager
            capture = (
                LayerCapture(self.layers, self.spec.capture_quantities)
                if self._is_captured(epoch, step, last)
                else None
            )
            before = {index: weight.clone() for index, weight in self.weights.items()} if capture else {}
            in_step = self.spec.capture_moment == "last_step"

            loss, correct, gradients = engine(indices, capture if in_step else None)

            if capture:
                if in_step:
                    capture.capture_weights(before, gradients)
                else:
                    self._capture_again(capture, indices)
                capture.capture_updates(before, self.weights)
                self._captures.append(capture.fetch(epoch, step))
            sums.losses[batch] = loss * len(indices)
            sums.correct += correct
            sums.images += len(indices)
            now = time.perf_counter()
            sums.seconds += now - began
            began = now
            on_step(step, loss)

    def _is_captured(self, epoch: int, step: int, last: bool) -> bool:
        every = self.spec.capture_every
        if self.spec.capture_unit == "step":
            return step % every == 0
        return last and (epoch % every == 0 or epoch == self.spec.epochs - 1)

    def _capture_again(self, capture: LayerCapture, indices: Tensor) -> None:
        """Capture the gradients at the weights after the step. Running statistics are restored afterwards."""
        before = {name: buffer.clone() for name, buffer in self.network.buffers().items()}
        result = self.step.gradients(indices, capture, images_gradient=True)
        capture.capture_weights(self.weights, result.gradients)
        for name, buffer in self.network.buffers().items():
            buffer.copy_(before[name])


def _count(device: torch.device) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=device)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
