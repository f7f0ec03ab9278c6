"""Stored histograms: what is drawn from them is what numpy would draw from the raw values."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normlab.store.histograms import edges, unpack
from tests.factories import histogram_of

rng = np.random.default_rng(7)


@pytest.mark.parametrize(
    "values",
    [
        rng.normal(size=200_000),
        rng.laplace(size=200_000) * 1e-6,
        rng.uniform(3, 5, 200_000),
        np.where(rng.random(200_000) < 0.9, 0, rng.normal(size=200_000)),
    ],
    ids=["normal", "laplace", "uniform-far-from-zero", "90%-zero"],
)
def test_a_50_bin_linear_picture_is_numpys_of_the_raw_values(values):
    values = values.astype(np.float32)
    wanted, new_edges = np.histogram(values, bins=50)

    drawn = histogram_of(values).rebin(new_edges)

    assert drawn.sum() == pytest.approx(len(values))
    # Half the sum of absolute differences: the share of values drawn in another bin than theirs.
    assert np.abs(drawn - wanted).sum() / 2 / len(values) < 0.005


def test_a_smooth_density_is_drawn_without_steps_of_the_bins_own():
    values = rng.normal(size=2_000_000).astype(np.float32)
    counts, new_edges = histogram_of(values).rebin(picture := np.linspace(-2, 2, 51)), picture
    raw, _ = np.histogram(values, new_edges)
    # What no histogram escapes is the noise of counting, sqrt(n); the picture may add as much again, not more.
    assert np.abs(counts - raw).max() < 3 * np.sqrt(raw.max())


def test_edges_cover_every_finite_float_and_are_at_most_a_thirty_second_wide():
    low, high = edges()
    finite = np.isfinite(low) & np.isfinite(high)
    positive = finite & (low >= np.finfo(np.float32).tiny)
    assert ((high - low)[positive] / low[positive]).max() == 1 / 32
    values = np.array([1.0, -1.0, 1e-38, 3.4e38, -7.25, 1e-45], dtype=np.float32)
    codes = values.view(np.uint32) >> 18
    assert all(low[code] <= value <= high[code] for code, value in zip(codes, values, strict=True))


def test_zeros_are_drawn_in_the_bin_that_holds_zero_and_can_be_left_out():
    histogram = histogram_of([0, 0, 0, 1, -1])
    assert histogram.rebin([-1.5, -0.5, 0.5, 1.5]).tolist() == [1, 3, 1]
    assert histogram.rebin([-1.5, -0.5, 0.5, 1.5], zeros=False).tolist() == [1, 0, 1]
    assert histogram.zero_share == 0.6


def test_values_that_are_not_finite_are_counted_apart_and_change_nothing_else():
    histogram = histogram_of([1, 2, np.nan, np.inf, -np.inf, np.inf])
    assert (histogram.nans, histogram.positive_infinities, histogram.negative_infinities) == (1, 2, 1)
    assert (histogram.minimum, histogram.maximum, histogram.mean, histogram.count) == (1, 2, 1.5, 6)


def test_one_constant_is_one_spike():
    histogram = histogram_of(np.full(10, 0.1))
    assert histogram.rebin(np.linspace(0, 1, 11)).tolist() == [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
    assert histogram.quantile(0.5) == np.float32(0.1)
    assert histogram.std == pytest.approx(0, abs=1e-8)


def test_nothing_finite_has_no_range_but_still_a_count():
    histogram = histogram_of([np.nan])
    assert (histogram.minimum, histogram.mean, histogram.quantile(0.5), histogram.count) == (None, None, None, 1)
    assert histogram.rebin([0, 1]).tolist() == [0]


def test_quantiles_and_shares_are_the_raw_values_to_within_a_bin():
    values = np.where(rng.random(50_000) < 0.3, 0, rng.normal(size=50_000)).astype(np.float32)
    histogram = histogram_of(values)
    for q in (0.01, 0.25, 0.5, 0.9, 0.999):
        assert histogram.quantile(q) == pytest.approx(np.quantile(values, q), rel=1 / 32, abs=1e-3)
    assert histogram.share_above(0.5) == pytest.approx(np.mean(np.abs(values) > 0.5), abs=0.005)


@given(st.lists(st.floats(width=32), max_size=200))
def test_packing_loses_nothing(values):
    histogram = histogram_of(values)
    codes, counts = unpack(histogram.to_bytes())
    assert codes.tolist() == histogram.codes.tolist()
    assert counts.tolist() == histogram.counts.tolist()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=200))
def test_rebinning_over_the_whole_range_counts_every_value_once(values):
    histogram = histogram_of(values)
    low, high = float(np.float32(min(values))), float(np.float32(max(values)))
    counts = histogram.rebin([low, high if high > low else low + 1])
    assert counts.sum() == pytest.approx(len(values))


@pytest.mark.parametrize("garbage", [b"", b"not zlib", zlib.compress(b"12345")])
def test_bytes_that_are_no_histogram_are_refused(garbage):
    with pytest.raises(ValueError, match="packed histogram"):
        unpack(garbage)
