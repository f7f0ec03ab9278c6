"""The bins of stored histograms: their edges, their layouts, and the pair-sums that make layouts comparable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normlab.store.histogram_bins import MIN_BITS, BinLayout, coarsened, layout_for
from tests.factories import histogram_of

rng = np.random.default_rng(3)
layouts = st.builds(BinLayout, st.integers(0, 254), st.integers(MIN_BITS, 23))
# The layout of 5 bits everywhere, one of the kernels' 8 bits, and one of every bit.
LAYOUTS = [BinLayout(254, 5), BinLayout(130, 8), BinLayout(127, 23)]


def bins_of(values, layout):
    """The patterns and counts of values that are not zero, in a layout's bins."""
    patterns, counts = np.unique(np.asarray(values, np.float32).view(np.uint32), return_counts=True)
    return coarsened(patterns, counts, layout)


def coarser(first, second):
    """The finest layout whose bins are made of whole bins of both."""
    top_exponent = max(first.top_exponent, second.top_exponent)
    bits = min(first.top_bits - first.top_exponent, second.top_bits - second.top_exponent) + top_exponent
    return BinLayout(top_exponent, max(bits, MIN_BITS))


class TestEdges:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_values_lie_between_the_edges_of_their_bin(self, layout):
        """Each finite value is between the edges of its bin, and the edge nearer to zero belongs to the bin."""
        bits = rng.integers(0, 2**32, 100_000, dtype=np.uint32)
        values = bits.view(np.float32)
        kept = values[(bits >> 23 & 0xFF) <= layout.top_exponent]
        for value in np.concatenate([kept[:2000], np.float32([1.0, -1.0, 1e-38, -1e-45, 1e-45])]):
            (pattern,), _ = bins_of([value], layout)
            (nearer,), (farther,) = layout.edges(np.array([pattern]))
            assert nearer <= abs(float(value)) < farther
            assert bins_of([np.copysign(np.float32(nearer or 1e-45), value)], layout)[0] == [pattern]

    def test_bins_are_relatively_narrow(self):
        """A bin is at most 1/32 of its value wide, and those of the highest octaves are all of one width."""
        values = np.float32(2.0) ** rng.uniform(-120, 3, 20_000).astype(np.float32)
        layout = BinLayout(129, 8)
        nearer, farther = layout.edges(bins_of(values, layout)[0])
        assert ((farther - nearer) / nearer).max() == 1 / 32
        assert set((farther - nearer)[nearer >= 0.5]) == {2.0**-6}

    def test_largest_float_has_a_finite_edge(self):
        """The bin of the largest float ends at 2¹²⁸, where a float32 overflows."""
        layout = BinLayout(254, 8)
        assert layout.edges(bins_of([np.finfo(np.float32).max], layout)[0])[1] == 2.0**128


class TestLayout:
    @pytest.mark.parametrize(
        ("values", "bits"),
        [
            (rng.uniform(-1.5, 1.5, 100_000), 10),  # bins of 1/1024, of which the range has 3072
            (rng.uniform(-1.9, 1.9, 100_000), 10),
            (rng.uniform(-1.5, 1.5, 1000), 12),
            (1 + 1e-4 * rng.uniform(-1, 1, 3000), 23),
            (1 + 1e-4 * rng.normal(size=100_000), 10),  # the kernels tell no more apart
            (rng.normal(size=256), 23),
            (np.zeros(10), 23),
        ],
    )
    def test_bits_follow_the_range_and_the_number(self, values, bits):
        """Few values and narrow ranges get more bits, up to those that were counted."""
        assert histogram_of(values).layout.top_bits == bits

    def test_two_extremes_alone(self):
        """Extremes of any size have a layout."""
        for minimum, maximum in ((-3.4e38, 3.4e38), (1e-45, 1e-45), (0.0, 1e-45), (-1e-45, 3.4e38)):
            layout = layout_for(np.array([2]), minimum, maximum, 23)
            assert 0 <= layout.top_exponent <= 254
            assert MIN_BITS <= layout.top_bits <= 23


class TestPairSums:
    @given(layouts, layouts)
    def test_bins_of_two_layouts_have_a_common_one(self, first, second):
        """The bins of any two histograms, summed in pairs, are those of the same values in one coarser layout."""
        highest = 2.0 ** (min(first.top_exponent, second.top_exponent) - 126)
        raw = np.float32(rng.uniform(-0.999, 0.999, 300) * highest * 10.0 ** rng.uniform(-6, 0, 300))
        values = raw[raw != 0]
        common = coarser(first, second)
        expected = bins_of(values, common)
        for layout in (first, second):
            merged = coarsened(*bins_of(values, layout), common)
            np.testing.assert_array_equal(merged, expected)

    def test_sums_of_pairs_keep_every_count(self):
        """A coarser layout has the sums of its bins' counts."""
        patterns, counts = bins_of(rng.normal(size=5000), BinLayout(129, 8))
        coarse_patterns, coarse_counts = coarsened(patterns, counts, BinLayout(129, 5))
        assert coarse_counts.sum() == counts.sum() == 5000
        assert len(coarse_patterns) < len(patterns)
