"""Training one experiment: epochs of steps, a look into the layers, the test pass; and where it stands."""

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
from normcore.step import TrainingStep, scaled
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.size_estimate import TEST_BATCH
from normlab.store.records import Capture, EpochMetrics, Record
from worker.datasets import ImageData, Split
from worker.training.build_network import build_network
from worker.training.build_optimizer import build_optimizer
from worker.training.capture import LayerCapture, layers_to_capture
from worker.training.checkpoints import State, pack, restore, state_of

OnStep = Callable[[int, Tensor], None]  # the step's number and its loss, on the device


@dataclass
class EpochSums:
    """What an epoch's steps so far add up to; on the device, so that no step waits for the host.

    losses: of each step, times its images, zero for those to come; seconds: taken by those that are done.
    """

    losses: Tensor
    correct: Tensor  # scalar
    images: Tensor  # scalar
    seconds: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    @classmethod
    def of(cls, steps: int, device: torch.device) -> Self:
        """Nothing yet."""
        return cls(torch.zeros(steps, device=device), _count(device), _count(device))

    def state(self) -> State:
        """The live tensors, as a checkpoint names them."""
        return {f"epoch/{name}": tensor for name, tensor in vars(self).items()}


class Training:
    """An experiment on its way: data, network, optimizer, and how many steps are done.

    Its whole state is what `state` gives: parameters, running statistics, the optimizer's averages, and the sums of an
    epoch that has begun and is not tested yet. The batches' order and dropout's masks are functions of the seed and of
    how many went before.
    """

    def __init__(self, spec: ExperimentSpec, data: ImageData, device: torch.device) -> None:
        self.spec = spec
        self.layers = spec.layer_shapes()
        if self.layers[-1].output_shape[0] != data.classes:
            raise ValueError(
                f"the network ends in {self.layers[-1].output_shape[0]} logits, the data set has {data.classes} classes"
            )
        self.device = device
        self.train, self.test = (Split(s.images.to(device), s.labels.to(device)) for s in (data.train, data.test))
        self.network = build_network(spec, device)
        self.steps_per_epoch = math.ceil(len(self.train.labels) / spec.batch_size)
        self.optimizer = build_optimizer(spec, self.network.parameters(), steps_per_epoch=self.steps_per_epoch)
        self.weights = {
            place: layer.parameters()["weight"]
            for place, layer in enumerate(self.network.layers)
            if self.layers[place].kind in ("convolution", "linear")
        }
        self._sums = EpochSums.of(self.steps_per_epoch, device)
        self._captures: list[Capture] = []  # since the last record
        self._recorded = 0  # steps
        self.epochs_done = 0  # whole ones, tested
        self.step = TrainingStep(self.network, self.optimizer, self.train.images, self.train.labels)
        self.eager = Eager(self.step)  # for what is no whole batch
        self.engine: Engine = self.eager

    def ready(self, wanted: EngineName | Literal["auto"]) -> EngineChoice:
        """Make ready the engine that whole batches are trained with from here on, and say which it is and why."""
        batch = self.batches(0)[0]
        if len(batch) < self.spec.batch_size:
            return EngineChoice(self.eager, "eager", "there are fewer images than a batch takes")
        steps_left = self.spec.epochs * self.steps_per_epoch - self.steps_done
        indices = layers_to_capture(self.layers, self.spec.capture_quantities)
        choice = choose(self.step, wanted, indices=batch, steps_left=steps_left, captured=indices)
        self.engine = choice.engine
        return choice

    @property
    def steps_done(self) -> int:
        """Of the whole training."""
        return self.optimizer.steps

    def state(self) -> State:
        """All that training goes on from; the live tensors, not copies. Between epochs there are no sums."""
        return state_of(self.network, self.optimizer) | (self._sums.state() if self._is_inside() else {})

    def resume(self, state: State) -> None:
        """Go on from a checkpoint. Raises ValueError if it is of another network."""
        self._sums = EpochSums.of(self.steps_per_epoch, self.train.labels.device)
        sums = self._sums.state()
        inside = not sums.keys().isdisjoint(state)
        restore(state, state_of(self.network, self.optimizer) | (sums if inside else {}))
        self.optimizer.steps = int(state["steps"])
        self.epochs_done = (self.steps_done - inside) // self.steps_per_epoch  # all its steps may be done, but no test
        self._captures, self._recorded = [], self.steps_done

    def unrecorded(self) -> Record | None:
        """What came of the epoch so far, to go on from in the middle of it or before its test pass; None if there is
        nothing new, or nothing to go on from: what is not finite is found at the epoch's end, from its start.
        """
        if self.steps_done == self._recorded:
            return None
        if not all(bool(tensor.isfinite().all()) for tensor in self.state().values()):
            return None
        return self._record(None)

    def run_epoch(self, on_step: OnStep, on_test_batch: Callable[[], None] = lambda: None) -> Record:
        """Train an epoch, or what is left of one, test, and say what came of it. Both callbacks may raise, to stop."""
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
        """Mean loss and accuracy over all test images."""
        size = self.spec.batch_size if self.spec.test_statistics == "slot" else TEST_BATCH
        loss = torch.zeros((), device=self.test.labels.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.test.labels.device)
        for images, labels in zip(
            torch.split(self.test.images, size), torch.split(self.test.labels, size), strict=True
        ):
            logits = self.engine.infer(images)
            loss += cross_entropy(logits, labels)[0] * len(labels)
            correct += (logits.argmax(1) == labels).sum()
            on_batch()
        return float(loss) / len(self.test.labels), int(correct) / len(self.test.labels)

    def batches(self, epoch: int) -> list[Tensor]:
        """Which images each step of an epoch takes: indices on the device. A function of seed and epoch alone."""
        count = len(self.train.labels)
        order = np.random.default_rng([self.spec.seed, epoch]).permutation(count) if self.spec.shuffle else range(count)
        indices = torch.as_tensor(np.asarray(order), device=self.train.labels.device)
        return list(torch.split(indices, self.spec.batch_size))

    def _is_inside(self) -> bool:
        """Of an epoch: begun, and not tested."""
        return self.steps_done > self.epochs_done * self.steps_per_epoch

    def _record(self, metrics: EpochMetrics | None) -> Record:
        record = Record(metrics, tuple(self._captures), pack(self.state()))
        self._captures, self._recorded = [], self.steps_done
        return record

    def _train(self, epoch: int, on_step: OnStep) -> None:
        sums, batches, began = self._sums, self.batches(epoch), time.perf_counter()
        for place in range(self.steps_done - epoch * self.steps_per_epoch, len(batches)):
            indices, step, last = batches[place], self.steps_done + 1, place == len(batches) - 1
            engine = self.engine if len(indices) == self.spec.batch_size else self.eager
            look = (
                LayerCapture(self.layers, self.spec.capture_quantities)
                if self._is_captured(epoch, step, last)
                else None
            )
            before = {place: weight.clone() for place, weight in self.weights.items()} if look else {}
            at_the_step = self.spec.capture_moment == "last_step"

            loss, correct, gradients = engine(indices, look if at_the_step else None)

            if look:
                if at_the_step:
                    look.see_weights(before, gradients)
                else:
                    self._capture_again(look, indices)
                look.see_updates(before, self.weights)
                self._captures.append(look.capture(epoch, step))
            sums.losses[place] = loss * len(indices)
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

    def _capture_again(self, look: LayerCapture, indices: Tensor) -> None:
        """The gradients once more, at the weights after the step; running statistics are left as they were."""
        kept = {name: buffer.clone() for name, buffer in self.network.buffers().items()}
        images, labels = scaled(self.train.images[indices]), self.train.labels[indices]
        _, _, gradients = self.network.gradients(images, labels, look)
        look.see_weights(self.weights, gradients)
        for name, buffer in self.network.buffers().items():
            buffer.copy_(kept[name])


def _count(device: torch.device) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=device)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
