"""Training one experiment: epochs of steps, a look into the layers, the test pass."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from normcore import cross_entropy
from normcore.engines import Choice, Eager, Engine, EngineName, choose
from normcore.step import Step, scaled
from service.experiments.records import Capture, EpochMetrics, EpochRecord
from service.experiments.spec import ExperimentSpec
from worker.building import build_network
from worker.checkpoints import State, pack, restore, state_of
from worker.datasets import ImageData, Split
from worker.looking import Look, looked_at
from worker.optimizing import build_optimizer

TEST_BATCH = 500  # images at once in the test pass; no statistics depend on it but the original's slots, which follow

AfterStep = Callable[[int, Tensor], None]  # the step's number and its loss, on the device


@dataclass
class EpochSums:
    """What an epoch's steps add up to; on the device, so that no step waits for the host."""

    losses: Tensor  # one a step
    correct: Tensor  # scalar
    images: int


class Training:
    """An experiment on its way: data, network, optimizer, and how many epochs are done."""

    def __init__(self, spec: ExperimentSpec, data: ImageData, device: torch.device) -> None:
        self.spec = spec
        self.layers = spec.resolved_network()
        if self.layers[-1].output_shape[0] != data.classes:
            raise ValueError(
                f"the network ends in {self.layers[-1].output_shape[0]} scores, the data set has {data.classes} classes"
            )
        self.train, self.test = (Split(s.images.to(device), s.labels.to(device)) for s in (data.train, data.test))
        self.network = build_network(spec, device)
        self.steps_per_epoch = math.ceil(len(self.train.labels) / spec.batch_size)
        self.optimizer = build_optimizer(spec, self.network.parameters(), steps_per_epoch=self.steps_per_epoch)
        self.weights = {
            place: layer.parameters()["weight"]
            for place, layer in enumerate(self.network.layers)
            if self.layers[place].kind in ("convolution", "linear")
        }
        self.epochs_done = 0
        self.step = Step(self.network, self.optimizer, self.train.images, self.train.labels)
        self.eager = Eager(self.step)  # for what is no whole batch
        self.engine: Engine = self.eager

    def ready(self, wanted: EngineName | Literal["auto"]) -> Choice:
        """Make ready the engine that whole batches are trained with from here on, and say which it is and why."""
        batch = self.batches(self.epochs_done)[0]
        if len(batch) < self.spec.batch_size:
            return Choice(self.eager, "eager", "there are fewer images than a batch takes")
        steps_left = (self.spec.epochs - self.epochs_done) * self.steps_per_epoch
        places = looked_at(self.layers, self.spec.capture_quantities)
        choice = choose(self.step, wanted, indices=batch, steps_left=steps_left, looked=places)
        self.engine = choice.engine
        return choice

    def resume(self, state: State, epochs_done: int) -> None:
        """Go on from a checkpoint."""
        restore(state, self.network, self.optimizer)
        self.epochs_done = epochs_done

    def run_epoch(self, after_step: AfterStep) -> EpochRecord:
        """Train one epoch, test, and say what came of it. after_step may raise, to stop: the epoch is then void."""
        epoch, began = self.epochs_done, time.perf_counter()
        sums, captures = self._train(epoch, after_step)
        train_loss, train_accuracy = float(sums.losses.mean()), int(sums.correct) / sums.images
        trained = time.perf_counter()
        test_loss, test_accuracy = self.run_test()
        tested = time.perf_counter()
        self.epochs_done += 1
        metrics = EpochMetrics(
            epoch=epoch,
            train_loss=_finite(train_loss),
            train_accuracy=train_accuracy,
            test_loss=_finite(test_loss),
            test_accuracy=test_accuracy,
            train_seconds=trained - began,
            test_seconds=tested - trained,
            images_per_second=sums.images / (trained - began),
        )
        return EpochRecord(metrics, tuple(captures), pack(state_of(self.network, self.optimizer)))

    def run_test(self) -> tuple[float, float]:
        """Mean loss and accuracy over all test images."""
        size = self.spec.batch_size if self.spec.test_statistics == "slot" else TEST_BATCH
        loss = torch.zeros((), device=self.test.labels.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.test.labels.device)
        for images, labels in zip(
            torch.split(self.test.images, size), torch.split(self.test.labels, size), strict=True
        ):
            scores = self.engine.infer(images)
            loss += cross_entropy(scores, labels)[0] * len(labels)
            correct += (scores.argmax(1) == labels).sum()
        return float(loss) / len(self.test.labels), int(correct) / len(self.test.labels)

    def batches(self, epoch: int) -> list[Tensor]:
        """Which images each step of an epoch takes: indices on the device. A function of seed and epoch alone."""
        count = len(self.train.labels)
        order = np.random.default_rng([self.spec.seed, epoch]).permutation(count) if self.spec.shuffle else range(count)
        indices = torch.as_tensor(np.asarray(order), device=self.train.labels.device)
        return list(torch.split(indices, self.spec.batch_size))

    def _train(self, epoch: int, after_step: AfterStep) -> tuple[EpochSums, list[Capture]]:
        device = self.train.labels.device
        batches, captures = self.batches(epoch), []
        sums = EpochSums(torch.zeros(len(batches), device=device), torch.zeros((), dtype=torch.int64, device=device), 0)
        for place, indices in enumerate(batches):
            step, last = epoch * len(batches) + place + 1, place == len(batches) - 1
            engine = self.engine if len(indices) == self.spec.batch_size else self.eager
            look = Look(self.layers, self.spec.capture_quantities) if self._is_looked_at(epoch, step, last) else None
            before = {place: weight.clone() for place, weight in self.weights.items()} if look else {}
            at_the_step = self.spec.capture_moment == "last_step"

            loss, correct, gradients = engine(indices, look if at_the_step else None)

            if look:
                if at_the_step:
                    look.see_weights(before, gradients)
                else:
                    self._look_again(look, indices)
                look.see_updates(before, self.weights)
                captures.append(look.capture(epoch, step))
            sums.losses[place] = loss * len(indices)
            sums.correct += correct
            sums.images += len(indices)
            after_step(step, loss)
        sums.losses *= len(batches) / sums.images  # so that their mean is the mean over the images
        return sums, captures

    def _is_looked_at(self, epoch: int, step: int, last: bool) -> bool:
        every = self.spec.capture_every
        if self.spec.capture_unit == "step":
            return step % every == 0
        return last and (epoch % every == 0 or epoch == self.spec.epochs - 1)

    def _look_again(self, look: Look, indices: Tensor) -> None:
        """The gradients once more, at the weights after the step; running statistics are left as they were."""
        kept = {name: buffer.clone() for name, buffer in self.network.buffers().items()}
        images, labels = scaled(self.train.images[indices]), self.train.labels[indices]
        _, _, gradients = self.network.gradients(images, labels, look)
        look.see_weights(self.weights, gradients)
        for name, buffer in self.network.buffers().items():
            buffer.copy_(kept[name])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
