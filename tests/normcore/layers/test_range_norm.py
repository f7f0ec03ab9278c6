"""Range normalization where finite differences fail, at ties and constant channels, and at test time."""

import pytest
import torch

from normcore import RangeNorm
from tests.normcore.averages import averages, exactly, randn


def theirs(x, eps):
    low, high = x.amin((0, 2, 3), keepdim=True), x.amax((0, 2, 3), keepdim=True)
    return (x - low) / (high - low + eps)


TIED = {
    "what a ReLU lets through": randn(4, 3, 5, 6).clamp(min=0),
    "both extremes tied": randn(4, 3, 5, 6).clamp(-0.5, 0.5),
    "a constant channel": torch.cat([randn(4, 1, 5, 6), torch.full((4, 1, 5, 6), 2.0, dtype=torch.float64)], 1),
}


class TestRangeNorm:
    @pytest.mark.parametrize("x", TIED.values(), ids=TIED)
    def test_tied_extremes_share_the_gradient(self, x):
        """Values that tie for an extreme share its gradient as in autograd."""
        layer, leaf, dout = (
            RangeNorm(*averages(1, x.shape[1], 1, 1), eps=0.1),
            x.clone().requires_grad_(),
            randn(*x.shape),
        )
        expected = theirs(leaf, 0.1)
        expected.backward(dout)

        out, cache = layer.forward(x)
        dx, _ = layer.backward(dout, cache)

        exactly(out, expected.detach())
        exactly(dx, leaf.grad)

    def test_output_reaches_from_zero_to_one(self):
        """Each channel of a batch has minimum 0 and maximum 1."""
        out, _ = RangeNorm(*averages(1, 3, 1, 1), eps=1e-15).forward(5 * randn(4, 3, 5, 6) - 7)
        exactly(out.amin((0, 2, 3)), torch.zeros(3, dtype=torch.float64))
        exactly(out.amax((0, 2, 3)), torch.ones(3, dtype=torch.float64))

    def test_test_time_uses_running_extremes(self):
        """The fixed layer of test time uses the running extremes and does not change them."""
        layer = RangeNorm(*averages(1, 2, 1, 1))
        first, second, image = randn(4, 2, 3, 3), 2 * randn(4, 2, 3, 3) + 1, randn(1, 2, 3, 3)
        layer.forward(first)
        layer.forward(second)
        low = 0.09 * first.amin((0, 2, 3), keepdim=True) + 0.1 * second.amin((0, 2, 3), keepdim=True)
        high = 0.09 * first.amax((0, 2, 3), keepdim=True) + 0.1 * second.amax((0, 2, 3), keepdim=True)
        for _ in range(2):
            exactly(layer.for_inference().forward(image)[0], (image - low) / (high - low + 1e-8))
        assert layer.buffers().keys() == {"running_low", "running_high"}
