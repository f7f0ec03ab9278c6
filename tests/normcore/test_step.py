"""The training step's two halves, gradients and update, and the seam between them."""

import pytest
import torch

from normcore import SGD, Adam, Convolution, GlobalAveragePool, Network, ReLU
from normcore.optimizers.schedules import constant
from normcore.step import TrainingStep


def step(optimizer=Adam, **options):
    """A step of a small network on twelve random images."""
    generator = torch.Generator().manual_seed(29)
    weights = [torch.randn(shape, generator=generator) for shape in ((4, 3, 3, 3), (10, 4, 3, 3))]
    network = Network([Convolution(weights[0]), ReLU(), Convolution(weights[1]), GlobalAveragePool()])
    images = torch.randint(256, (12, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (12,), generator=generator)
    optimizer = optimizer(network.parameters(), learning_rate=constant(0.01), **options)
    return TrainingStep(network, optimizer, images, labels)


def parameters(step):
    return {name: parameter.clone() for name, parameter in step.network.parameters().items()}


class TestSeam:
    def test_gradients_change_no_parameter(self):
        """gradients() reads the parameters and counts no step."""
        one = step()
        before = parameters(one)
        one.gradients(torch.arange(6))
        assert all(torch.equal(before[name], parameter) for name, parameter in parameters(one).items())
        assert one.optimizer.steps == 0

    def test_the_whole_step_is_its_two_halves(self):
        """Calling the step equals gradients() and then update(), bit for bit."""
        whole, halves = step(), step()
        for _ in range(3):
            result = whole(torch.arange(6), whole.next_coefficients())
            other = halves.gradients(torch.arange(6))
            halves.update(other.gradients, halves.next_coefficients())
            assert torch.equal(result.loss, other.loss)
        theirs = parameters(halves)
        assert all(torch.equal(theirs[name], parameter) for name, parameter in parameters(whole).items())

    @pytest.mark.parametrize("optimizer", [SGD, Adam])
    def test_averaged_gradients_train_as_one_batch(self, optimizer):
        """Gradients of two halves of a batch, averaged before update(), train as the whole batch does."""
        whole, replicas = step(optimizer), step(optimizer)
        for _ in range(3):
            whole(torch.arange(12), whole.next_coefficients())
            first, second = (replicas.gradients(half).gradients for half in torch.arange(12).split(6))
            reduced = {name: (first[name] + second[name]) / 2 for name in first}
            replicas.update(reduced, replicas.next_coefficients())
        theirs = parameters(replicas)
        for name, parameter in parameters(whole).items():
            torch.testing.assert_close(theirs[name], parameter, rtol=1e-4, atol=1e-5)
