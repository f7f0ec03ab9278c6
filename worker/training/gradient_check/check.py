"""The check of one training: its own steps and its code in float64, each compared with the reference."""

from itertools import cycle, islice

import torch
from torch import Tensor

from normcore.engines import Compiled, Eager
from normcore.step import TrainingStep
from normlab.spec.gradient_check import GradientCheck
from worker.training.build_network import build_network
from worker.training.build_optimizer import build_optimizer
from worker.training.gradient_check.answer import answer
from worker.training.gradient_check.comparison import Subject, compare
from worker.training.gradient_check.reference_optimizer import converted
from worker.training.training import Training

STEPS = 2  # compared: the second one starts from averages that are not 0


class WrongGradient(Exception):
    """A gradient check has failed. The message says which value is wrong, and by how much."""


def check_gradients(training: Training) -> GradientCheck:
    """Compare a training's next steps with the reference. The training continues afterwards as if nothing had happened.

    Two comparisons complement each other:

    - The training's code in float64, run eagerly from the same state. Rounding is about 1e-15 there. So an error of a
      formula is seen even where it is small: a term of relative size 1e-6, a λ at its limit, a gradient that nearly
      cancels. This comparison cannot see what only the training's own engine does. Where a result is mostly rounding,
      its limit is wider: the reference is run once more with a jitter of one rounding of every intermediate value.
    - The training's own steps, in float32, with its engine, its memory mode, and with and without a capture. The
      reference starts from the same float32 values, so the error is the rounding of one step: about 1e-6 where nothing
      cancels. A wrong factor, a missing term, a stale buffer or a state that is not updated is far above that. How much
      rounding costs depends on the network: a normalization of nearly constant maps magnifies it. Therefore PyTorch's
      own functions are run in float32 too, and 100 times their error also passes.

    An engine that fuses operators rounds differently from the eager step. For single values that lie at a ReLU's kink
    it may take the other side. The limit of its gradients is therefore wider; their formulas are checked in float64.
    """
    batches = _next_batches(training)
    # MPS has no float64, so there the reference and the code in float64 run on the CPU.
    device = torch.device("cpu") if training.device.type == "mps" else training.device
    exact = compare(_in_float64(training, batches, device), device)
    own = compare(_own_steps(training, batches), device)
    return answer(training, exact, own, images=len(batches[0]))


def _next_batches(training: Training) -> list[Tensor]:
    """Return the indices of the next steps' images, full batches alone if there are any."""
    epoch, done = divmod(training.steps_done, training.steps_per_epoch)
    batches = training.batches(epoch)
    full = [batch for batch in batches if len(batch) == training.spec.batch_size] or batches
    return list(islice(cycle(full[done:] + full), STEPS))


def _own_steps(training: Training, batches: list[Tensor]) -> Subject:
    """Return the steps as they train, and the first batch of a test pass."""
    compared = min(training.spec.batch_size, len(training.test.labels))
    # A compiled engine compiles the test pass for the size of its first batch, so that must be the training's own.
    size = training.test_batch_size if isinstance(training.engine, Compiled) else compared
    test_images = training.test.images[:size]
    return Subject(
        training.spec, training.step, training.engine, batches, training.steps_per_epoch, test_images, compared
    )


def _in_float64(training: Training, batches: list[Tensor], device: torch.device) -> Subject:
    """Return the same steps in float64: the same code, from the same state, on the same images."""
    spec, like = training.spec, torch.empty(0, dtype=torch.float64, device=device)
    network = build_network(spec, device, torch.float64)
    optimizer = build_optimizer(spec, network.parameters(), steps_per_epoch=training.steps_per_epoch)
    optimizer.steps = training.steps_done
    pairs = (
        (network.parameters(), training.network.parameters()),
        (network.buffers(), training.network.buffers()),
        (optimizer.state(), training.optimizer.state()),
    )
    for own, others in pairs:
        for name, tensor in own.items():
            tensor.copy_(converted(others[name], like))
    indices = torch.cat(batches)
    images, labels = training.train.images[indices].to(device), training.train.labels[indices].to(device)
    step = TrainingStep(network, optimizer, images, labels)
    own_batches = list(torch.split(torch.arange(len(indices), device=device), len(batches[0])))
    compared = min(spec.batch_size, len(training.test.labels))
    test_images = training.test.images[:compared].to(device)
    return Subject(spec, step, Eager(step), own_batches, training.steps_per_epoch, test_images, compared)
