"""Dropout: which elements it sets to 0, how many, and when the mask is the same."""

import pytest
import torch

from normcore import Dropout


def dropout(rate=0.3, seed=7, calls=0):
    return Dropout(rate, seed, torch.tensor(calls))


class TestMask:
    @pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
    def test_share_of_zeros_is_the_rate(self, rate):
        """The fraction of zeros is the rate, and the mean is kept."""
        out, mask = dropout(rate).forward(torch.ones(1_000_000))
        zero_fraction = float((out == 0).double().mean())
        assert zero_fraction == pytest.approx(rate, abs=5 * (rate * (1 - rate) / 1e6) ** 0.5)
        assert float(out.double().mean()) == pytest.approx(1, abs=0.02)
        assert mask[mask > 0].unique().tolist() == pytest.approx([1 / (1 - rate)])

    def test_neighbours_and_batches_are_independent(self):
        """Neighbouring elements and successive batches have uncorrelated masks."""
        layer = dropout(0.5)
        first, second = ((layer.forward(torch.ones(1000, 1000))[0] > 0).double() for _ in range(2))
        for a, b in ((first, second), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])):
            assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 0.005

    def test_seed_and_count_alone_determine_the_mask(self):
        """The same seed and count give the same mask, another seed or count gives another."""
        x = torch.ones(4, 3, 5, 5)
        assert torch.equal(dropout(calls=3).forward(x)[0], dropout(calls=3).forward(x)[0])
        assert not torch.equal(dropout(calls=3).forward(x)[0], dropout(calls=4).forward(x)[0])
        assert not torch.equal(dropout(seed=7).forward(x)[0], dropout(seed=8).forward(x)[0])

    def test_hash_equals_its_source(self):
        """The hash gives the same words as its source."""
        from normcore.layers.dropout import _mixed

        def in_python(word):
            word = (word ^ word >> 16) * 0x7FEB352D & 0xFFFFFFFF
            word = (word ^ word >> 15) * 0x846CA68B & 0xFFFFFFFF
            return word ^ word >> 16

        words = [0, 1, 2, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF]
        assert _mixed(torch.tensor(words)).tolist() == [in_python(word) for word in words]


class TestGradient:
    def test_gradient_passes_where_the_value_passed(self):
        """dx is dout times the mask; at test time nothing is dropped."""
        layer, x, dout = dropout(), torch.randn(4, 3, 5, 5), torch.randn(4, 3, 5, 5)
        out, mask = layer.forward(x)
        dx, gradients = layer.backward(dout, mask)
        assert torch.equal(dx, dout * mask)
        assert torch.equal(out, x * mask)
        assert gradients == {}
        assert torch.equal(layer.for_inference().forward(x)[0], x)
        assert layer.buffers()["calls"] == 1
