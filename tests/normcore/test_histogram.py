"""Counting by leading bits: beside numpy, and beside the bins that service.experiments draws from."""

import numpy as np
import pytest
import torch

import service.experiments.histograms as stored
from normcore import Histogram, histogram
from normcore.histogram import CODES, MANTISSA_BITS, SHIFT, codes

generator = torch.Generator().manual_seed(11)


def randn(*shape):
    return torch.randn(shape, generator=generator)


EVERY_KIND = [0.0, -0.0, 1e-45, -1e-45, 1e-40, 1.1754944e-38, 3.4e38, -3.4e38, 1.0, -1.0, torch.nan]
TENSORS = {
    "random": randn(100_000),
    "wide": randn(50_000) * torch.exp(20 * randn(50_000)),
    "90 % zero": torch.where(torch.rand(100_000, generator=generator) < 0.9, 0.0, randn(100_000)),
    "denormal": randn(10_000) * 1e-39,
    "zeros of both signs": torch.tensor([0.0, -0.0, -0.0]),
    "every kind": torch.tensor([*EVERY_KIND, torch.inf, torch.inf, -torch.inf]),
    "all bits": torch.randint(-(2**31), 2**31, (100_000,), generator=generator).to(torch.int32).view(torch.float32),
    "a scalar": torch.tensor(-2.5),
    "four axes": randn(4, 3, 5, 6),
    "transposed": randn(8, 6, 4).transpose(0, 2),
    "every other": randn(40, 40)[::2, 1::3],
    "expanded": randn(4, 1, 1).expand(4, 6, 6),
}


@pytest.fixture(params=TENSORS.values(), ids=TENSORS)
def values(request):
    return request.param


def test_every_value_is_counted_in_the_bin_of_its_leading_bits(values):
    found, counts = np.unique(bits_of(values) >> stored.SHIFT, return_counts=True)
    wanted = np.zeros(stored.CODES, np.int64)
    wanted[found] = counts
    np.testing.assert_array_equal(histogram(values).counts.numpy(), wanted)


def test_zeros_nans_and_infinities_are_counted_apart_by_sign(values):
    bits, counted = bits_of(values), histogram(values)
    assert counted.positive_zeros == (bits == 0x00000000).sum()
    assert counted.negative_zeros == (bits == 0x80000000).sum()
    assert counted.positive_infinities == (bits == 0x7F800000).sum()
    assert counted.negative_infinities == (bits == 0xFF800000).sum()
    assert counted.nans == ((bits & 0x7FFFFFFF) > 0x7F800000).sum()


def test_extremes_and_totals_are_those_of_the_finite_values(values):
    counted, raw = histogram(values), bits_of(values).view(np.float32)
    finite = raw[np.isfinite(raw)].astype(np.float64)
    assert (counted.minimum.item(), counted.maximum.item()) == (finite.min(), finite.max())
    assert counted.total.dtype == counted.total_of_squares.dtype == torch.float64
    assert counted.total.item() == pytest.approx(finite.sum(), rel=1e-12, abs=1e-13 * np.abs(finite).sum())
    assert counted.total_of_squares.item() == pytest.approx((finite**2).sum(), rel=1e-12)


def test_integers_are_totalled_exactly():
    counted = histogram(torch.arange(1, 1001, dtype=torch.float32))
    assert (counted.total, counted.total_of_squares) == (500_500, 333_833_500)
    # In float32 the one would be lost beside 2²⁴.
    assert histogram(torch.tensor([2.0**24, 1.0])).total == 2**24 + 1


def test_a_tensor_of_nothing_has_a_histogram_of_nothing():
    counted = histogram(torch.empty(0, 3, 4, 4))
    assert counted.counts.sum() == counted.nans == counted.total == 0
    assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)


def test_the_counts_are_the_same_on_every_run_and_in_every_order(values):
    first, again = histogram(values), histogram(values)
    flat = values.flatten()
    shuffled = histogram(flat[torch.randperm(len(flat), generator=generator)])
    for field in (field for field in Histogram._fields if field not in ("total", "total_of_squares")):
        assert torch.equal(getattr(first, field), getattr(again, field)), field
        assert torch.equal(getattr(first, field), getattr(shuffled, field)), field


def test_nothing_finite_leaves_the_extremes_at_infinity_and_the_totals_at_zero():
    counted = histogram(torch.tensor([torch.nan, torch.inf, -torch.inf]))
    assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)
    assert (counted.total, counted.total_of_squares) == (0, 0)


def test_other_precisions_are_rounded_to_float32_first():
    precise = torch.randn(1000, dtype=torch.float64, generator=generator)
    assert torch.equal(histogram(precise).counts, histogram(precise.to(torch.float32)).counts)
    assert histogram(torch.tensor([1e300], dtype=torch.float64)).positive_infinities == 1


def test_counting_changes_nothing_of_what_is_counted():
    values = TENSORS["every kind"].clone()
    histogram(values)
    assert torch.equal(values.view(torch.int32), TENSORS["every kind"].view(torch.int32))


def test_the_bins_are_the_ones_that_are_stored():
    assert (MANTISSA_BITS, SHIFT, CODES) == (stored.MANTISSA_BITS, stored.SHIFT, stored.CODES)


def test_every_finite_value_lies_between_the_stored_edges_of_its_bin():
    raw = bits_of(TENSORS["all bits"]).view(np.float32)
    finite = raw[np.isfinite(raw)]
    low, high = (edge[codes(torch.from_numpy(finite)).numpy()] for edge in stored.edges())
    # The edge nearer to zero belongs to a bin, the farther one to the next.
    assert ((low < finite) | ((low == finite) & (finite >= 0))).all()
    assert ((finite < high) | ((high == finite) & (finite <= 0))).all()


def test_the_edges_nearer_to_zero_have_the_codes_of_their_bins():
    low, high = stored.edges()
    nearer = np.where(np.arange(stored.CODES) < stored.HALF, low, high)
    nearer[stored.HALF] = -0.0
    finite = np.isfinite(nearer)
    assert finite.sum() == 2 * 255 * 32
    found = codes(torch.from_numpy(nearer[finite].astype(np.float32)))
    assert found.tolist() == np.flatnonzero(finite).tolist()


def bits_of(values):
    return np.ascontiguousarray(values.numpy()).reshape(-1).view(np.uint32)
