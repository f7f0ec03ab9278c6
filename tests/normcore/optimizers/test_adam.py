"""Adam compared with torch's, and with the constants of the 2018 notebook."""

import pytest
import torch

from normcore import Adam
from normcore.optimizers.schedules import constant
from tests.normcore.optimizers.optimizing import take_step

LR, BETA1, BETA2, EPS = 0.01, 0.9, 0.999, 1e-9


def adam(w, **options):
    return Adam({"w": w}, learning_rate=constant(LR), eps=EPS, **options)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


class TestAdam:
    @pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9)])
    def test_powers_equal_torchs_adam(self, betas):
        """With the powers of the paper, twenty steps equal torch's Adam."""
        ours = {"w": randn(5, 3), "lam": randn()}
        theirs = {name: tensor.clone().requires_grad_() for name, tensor in ours.items()}
        optimizer = Adam(ours, learning_rate=constant(LR), beta1=betas[0], beta2=betas[1], eps=EPS)
        peer = torch.optim.Adam(theirs.values(), lr=LR, betas=betas, eps=EPS)
        for _ in range(20):
            gradients = {name: randn(*tensor.shape) for name, tensor in ours.items()}
            take_step(optimizer, gradients)
            for name, tensor in theirs.items():
                tensor.grad = gradients[name]
            peer.step()
            for name, tensor in ours.items():
                torch.testing.assert_close(tensor, theirs[name].detach(), rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("bias_correction", ["power", "constant"])
    def test_first_step_is_the_learning_rate(self, bias_correction):
        """The first step is the learning rate against the gradient's sign."""
        w, gradient = torch.zeros(4, dtype=torch.float64), torch.tensor([2.0, -1e-3, 0.0, 1e-9], dtype=torch.float64)
        take_step(adam(w, bias_correction=bias_correction), {"w": gradient})
        # The last gradient equals eps, which halves its step, because eps is added after the root.
        torch.testing.assert_close(w, -LR * gradient / (gradient.abs() + EPS), rtol=1e-9, atol=0)
        assert w[3].item() == pytest.approx(-LR / 2, rel=1e-9)

    def test_constants_divide_by_one_minus_beta(self):
        """With the notebook's constants, every step divides by 1 − β."""
        w, gradients = torch.zeros((), dtype=torch.float64), (2.0, 1.0, -3.0)
        optimizer = adam(w, bias_correction="constant")
        m = v = wanted = 0.0
        for gradient in gradients:
            m, v = BETA1 * m + (1 - BETA1) * gradient, BETA2 * v + (1 - BETA2) * gradient**2
            wanted -= LR * (m / (1 - BETA1)) / ((v / (1 - BETA2)) ** 0.5 + EPS)
            take_step(optimizer, {"w": torch.tensor(gradient, dtype=torch.float64)})
            assert w.item() == pytest.approx(wanted, rel=1e-12)

    def test_constants_step_farther_than_powers(self):
        """From the second step on the constants give larger steps than the powers."""
        ends = {}
        for bias_correction in ("power", "constant"):
            w = torch.zeros((), dtype=torch.float64)
            optimizer = adam(w, bias_correction=bias_correction)
            for _ in range(2):
                take_step(optimizer, {"w": torch.ones((), dtype=torch.float64)})
            ends[bias_correction] = w.item()
        assert ends["power"] == pytest.approx(-2 * LR, rel=1e-8)
        assert ends["constant"] == pytest.approx(-LR - LR * 1.9 / 1.999**0.5, rel=1e-8)

    def test_parameters_change_in_place_and_gradients_do_not(self):
        """Parameters are updated in place, and gradients are not changed."""
        w, gradient = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        take_step(adam(w), {"w": gradient})
        assert (w < 0).all()
        assert torch.equal(gradient, torch.ones_like(gradient))

    def test_missing_gradient_is_refused(self):
        """A parameter without a gradient raises KeyError."""
        with pytest.raises(KeyError, match="w"):
            take_step(adam(torch.zeros(3)), {"v": torch.zeros(3)})
