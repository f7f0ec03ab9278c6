"""Dropout: what is kept, how much, and that the same count draws the same mask."""

import pytest
import torch

from normcore import Dropout


def dropout(rate=0.3, seed=7, calls=0):
    return Dropout(rate, seed, torch.tensor(calls))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_rate_and_the_mean_is_kept(rate):
    out, mask = dropout(rate).forward(torch.ones(1_000_000))
    share = float((out == 0).double().mean())
    assert share == pytest.approx(rate, abs=5 * (rate * (1 - rate) / 1e6) ** 0.5)
    assert float(out.double().mean()) == pytest.approx(1, abs=0.02)
    assert mask[mask > 0].unique().tolist() == pytest.approx([1 / (1 - rate)])


def test_neighbours_and_batches_are_independent():
    layer = dropout(0.5)
    first, second = ((layer.forward(torch.ones(1000, 1000))[0] > 0).double() for _ in range(2))
    for one, other in ((first, second), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])):
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) < 0.005


def test_seed_and_count_alone_make_the_mask():
    x = torch.ones(4, 3, 5, 5)
    assert torch.equal(dropout(calls=3).forward(x)[0], dropout(calls=3).forward(x)[0])
    assert not torch.equal(dropout(calls=3).forward(x)[0], dropout(calls=4).forward(x)[0])
    assert not torch.equal(dropout(seed=7).forward(x)[0], dropout(seed=8).forward(x)[0])


def test_the_hash_is_that_of_its_source_word_for_word():
    from normcore.layers.dropout import _mixed

    def in_python(word):
        word = (word ^ word >> 16) * 0x7FEB352D & 0xFFFFFFFF
        word = (word ^ word >> 15) * 0x846CA68B & 0xFFFFFFFF
        return word ^ word >> 16

    words = [0, 1, 2, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF]
    assert _mixed(torch.tensor(words)).tolist() == [in_python(word) for word in words]


def test_the_gradient_passes_where_the_value_did_and_the_test_pass_drops_nothing():
    layer, x, dout = dropout(), torch.randn(4, 3, 5, 5), torch.randn(4, 3, 5, 5)
    out, mask = layer.forward(x)
    dx, gradients = layer.backward(dout, mask)
    assert torch.equal(dx, dout * mask)
    assert torch.equal(out, x * mask)
    assert gradients == {}
    assert torch.equal(layer.infer(x), x)
    assert layer.buffers()["calls"] == 1
