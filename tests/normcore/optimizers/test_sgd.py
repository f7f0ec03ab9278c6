"""Stochastic gradient descent compared with torch's."""

import pytest
import torch

from normcore import SGD
from normcore.optimizers.schedules import constant
from tests.normcore.averages import randn
from tests.normcore.optimizers.optimizing import take_step


class TestSGD:
    @pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True), (0.5, True)])
    def test_twenty_steps_equal_torchs_sgd(self, momentum, nesterov):
        """Twenty steps equal torch's SGD, with and without momentum and Nesterov's."""
        ours = {"w": randn(5, 3), "lam": randn()}
        theirs = {name: tensor.clone().requires_grad_() for name, tensor in ours.items()}
        optimizer = SGD(ours, learning_rate=constant(0.05), momentum=momentum, nesterov=nesterov)
        peer = torch.optim.SGD(theirs.values(), lr=0.05, momentum=momentum, nesterov=nesterov)
        for _ in range(20):
            gradients = {name: randn(*tensor.shape) for name, tensor in ours.items()}
            take_step(optimizer, gradients)
            for name, tensor in theirs.items():
                tensor.grad = gradients[name]
            peer.step()
            for name, tensor in ours.items():
                torch.testing.assert_close(tensor, theirs[name].detach(), rtol=1e-12, atol=1e-14)

    def test_parameters_change_in_place_and_gradients_do_not(self):
        """Parameters are updated in place, and gradients are not changed."""
        w, gradient = torch.zeros(3), torch.ones(3)
        optimizer = SGD({"w": w}, learning_rate=constant(0.1), nesterov=True)
        for _ in range(2):
            take_step(optimizer, {"w": gradient})
        assert torch.equal(gradient, torch.ones(3))
        assert (w < 0).all()
        assert optimizer.state().keys() == {"velocity/w"}

    def test_missing_gradient_is_refused(self):
        """A parameter without a gradient raises KeyError."""
        with pytest.raises(KeyError, match="w"):
            take_step(SGD({"w": torch.zeros(3)}, learning_rate=constant(0.1)), {"v": torch.zeros(3)})
