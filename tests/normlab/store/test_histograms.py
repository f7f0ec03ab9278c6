"""Stored histograms: pictures, quantiles and fractions computed from them agree with numpy on the raw values."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normlab.store.histogram_bins import BinLayout, coarsened
from tests.factories import histogram_of

rng = np.random.default_rng(7)


class TestRebin:
    """Counts between new edges."""

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
    def test_agrees_with_numpy_on_50_bins(self, values):
        """Of the values at most 0.5 % are counted in another of 50 linear bins than numpy counts them in."""
        values = values.astype(np.float32)
        expected, new_edges = np.histogram(values, bins=50)

        rebinned = histogram_of(values).rebin(new_edges)

        assert rebinned.sum() == pytest.approx(len(values))
        # Half the sum of the absolute differences is the number of values in another bin than numpy's.
        assert np.abs(rebinned - expected).sum() / 2 / len(values) < 0.005

    def test_adds_no_steps_to_a_smooth_density(self):
        """The error in each bin is at most three times the standard deviation of a count."""
        values = rng.normal(size=2_000_000).astype(np.float32)
        new_edges = np.linspace(-2, 2, 51)
        rebinned = histogram_of(values).rebin(new_edges)
        expected, _ = np.histogram(values, new_edges)
        assert np.abs(rebinned - expected).max() < 3 * np.sqrt(expected.max())

    def test_zeros_can_be_left_out(self):
        """Zeros are counted in the bin that holds zero, unless they are left out."""
        histogram = histogram_of([0, 0, 0, 1, -1])
        assert histogram.rebin([-1.5, -0.5, 0.5, 1.5]).tolist() == [1, 3, 1]
        assert histogram.rebin([-1.5, -0.5, 0.5, 1.5], zeros=False).tolist() == [1, 0, 1]
        assert histogram.zero_fraction == 0.6

    @given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=200))
    def test_counts_every_value_once(self, values):
        """Over the whole range the sum of the counts is the number of values."""
        histogram = histogram_of(values)
        low, high = float(np.float32(min(values))), float(np.float32(max(values)))
        rebinned = histogram.rebin([low, high if high > low else low + 1])
        assert rebinned.sum() == pytest.approx(len(values))


class TestStatistics:
    """Statistics, quantiles and fractions."""

    def test_nonfinite_values_have_their_own_counts(self):
        """NaN and infinities are counted and change no statistic of the finite values."""
        histogram = histogram_of([1, 2, np.nan, np.inf, -np.inf, np.inf])
        assert (histogram.nans, histogram.positive_infinities, histogram.negative_infinities) == (1, 2, 1)
        assert (histogram.minimum, histogram.maximum, histogram.mean, histogram.count) == (1, 2, 1.5, 6)

    def test_constant_is_in_one_bin(self):
        """A constant has one value in every quantile, no deviation, and one bin in a picture."""
        histogram = histogram_of(np.full(10, 0.1))
        assert histogram.rebin(np.linspace(0, 1, 11)).tolist() == [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
        assert histogram.quantile(0.5) == np.float32(0.1)
        assert histogram.std == 0

    def test_without_finite_values(self):
        """A tensor without finite values has a count, but no range, mean or quantile."""
        histogram = histogram_of([np.nan])
        assert (histogram.minimum, histogram.mean, histogram.quantile(0.5), histogram.count) == (None, None, None, 1)
        assert histogram.rebin([0, 1]).tolist() == [0]

    def test_quantiles_and_fractions_agree_with_numpy(self):
        """A quantile and a fraction above a threshold are those of the raw values to within one bin."""
        values = np.where(rng.random(50_000) < 0.3, 0, rng.normal(size=50_000)).astype(np.float32)
        histogram = histogram_of(values)
        for q in (0.01, 0.25, 0.5, 0.9, 0.999):
            assert histogram.quantile(q) == pytest.approx(np.quantile(values, q), rel=1 / 32, abs=1e-3)
        assert histogram.fraction_above(0.5) == pytest.approx(np.mean(np.abs(values) > 0.5), abs=0.005)


class TestResolution:
    """Where the bins are wider than the values differ."""

    def test_values_about_zero_are_resolved(self):
        """The bins of values about 0 are narrow relative to their standard deviation."""
        for values in (rng.normal(size=50_000), rng.standard_t(3, 50_000), np.maximum(rng.normal(size=50_000), 0)):
            histogram = histogram_of(values * 1e-9)
            assert 0 < histogram.resolution < 1 / 32
            assert not histogram.resolution_is_coarse

    def test_narrow_values_far_from_zero_are_coarse(self):
        """Many values of mean 1 and deviation 1e-4 share a bin, whose width the resolution gives."""
        histogram = histogram_of(1 + 1e-4 * rng.normal(size=50_000))
        assert histogram.resolution_is_coarse
        low, high, _ = histogram.bins()
        assert set(high - low) == {1 / 1024}  # a bin on each side of 1, cut to the extremes for the resolution
        assert histogram.resolution == pytest.approx((histogram.maximum - histogram.minimum) / 2 / histogram.std, 0.1)

    def test_few_narrow_values_are_resolved(self):
        """Of few values the bins are as fine as their picture needs, also far from 0."""
        values = (1 + 1e-4 * rng.normal(size=500)).astype(np.float32)
        histogram = histogram_of(values)
        assert histogram.resolution < 1 / 32
        expected, new_edges = np.histogram(values, bins=50)
        assert np.abs(histogram.rebin(new_edges) - expected).sum() / 2 / 500 < 0.01

    def test_equal_values_need_no_resolution(self):
        """Equal values are known exactly. Without a finite value there is no resolution."""
        assert histogram_of(np.full(70_000, 0.1)).resolution == 0
        assert histogram_of([np.nan]).resolution is None
        assert not histogram_of([np.nan]).resolution_is_coarse

    @given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=300), st.integers(1, 60))
    def test_divided_values_limit_the_error(self, values, bins):
        """No more values are in a wrong bin than those that were divided."""
        histogram = at_bits(values, 5)
        expected, new_edges = np.histogram(np.asarray(values, np.float32).astype(np.float64), bins)
        wrong = np.abs(histogram.rebin(new_edges) - expected).sum() / 2
        assert wrong <= histogram.divided(new_edges) + 1e-6


def at_bits(values, bits):
    """The histogram of values in bins of so many mantissa bits in every octave that has more than five."""
    histogram = histogram_of(values)
    layout = BinLayout(histogram.layout.top_exponent, bits)
    patterns, counts = coarsened(histogram.patterns, histogram.counts, layout)
    return dataclasses.replace(histogram, layout=layout, patterns=patterns, counts=counts)
