"""The symmetric logarithmic axis: its positions, its labels, and that a bell is one hump on it."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import find_peaks

from service.plots.bars import drawn_bars, height_axis
from service.plots.scales import panel_scale
from service.plots.symlog import Symlog
from tests.factories import histogram_of

QUANTILES = (np.arange(100_000) + 0.5) / 100_000


def humps(histogram, scale):
    """The number of humps of the bars that rise by more than a tenth of a decade."""
    heights, _ = drawn_bars(histogram, scale)
    lowest = heights[np.isfinite(heights)].min()
    padded = np.pad(np.maximum(heights, lowest), 1, constant_values=lowest - 1)
    padded += 1e-9 * np.arange(len(padded))  # of two equal peaks, one is the higher
    peaks, _ = find_peaks(padded, prominence=0.1)
    return len(peaks)


class TestPositions:
    def test_values_and_positions_are_inverse(self):
        """A value's position leads back to the value, on both sides of zero and in both parts of the axis."""
        axis = Symlog(-3, 2)
        values = np.array([-80.0, -0.5, -1e-3, -4e-4, 0, 1e-5, 1e-3, 7])
        positions = np.array([axis.position(value) for value in values])
        assert axis.value(positions) == pytest.approx(values)
        assert (np.diff(positions) > 0).all()
        assert axis.position(4e-4) == pytest.approx(0.4)
        assert axis.position(1.0) == pytest.approx(4)

    @pytest.mark.parametrize("spread", [1e-30, 1e-4, 1, 300, 1e30])
    @pytest.mark.parametrize("decades", [1, 2, 4, 8, 20])
    def test_several_decades_are_labelled(self, spread, decades):
        """An axis has two labelled decades or more, and no two labels touch."""
        axis = Symlog.of(-spread, spread, spread * 10.0**-decades)
        ticks = axis.ticks(-spread, spread)
        assert len({label.removeprefix("$-").removeprefix("$") for _, label in ticks} - {"0"}) >= 2
        assert np.diff([position for position, _ in ticks]).min() >= 0.34 * axis.position(spread)

    def test_narrow_axis_has_two_labels(self):
        """An axis on which no two powers of ten lie shows two other values, where these are."""
        scale = panel_scale([histogram_of([3.0001, 3.0007])], "symlog")
        assert [label for _, label in scale.ticks] == ["3.0002", "3.0006"]
        assert np.interp(3.0002, scale.edges, scale.positions) == pytest.approx(scale.ticks[0][0])


class TestDensities:
    @pytest.mark.parametrize("mean", [0, 2])
    @pytest.mark.parametrize("spread", [1e-6, 1, 1e3])
    @pytest.mark.parametrize("distribution", [stats.norm, stats.laplace, stats.t(2)], ids=["normal", "laplace", "t"])
    def test_one_bell_is_one_hump(self, distribution, spread, mean):
        """A bell has one hump, wherever its middle is, and whatever narrower bell determines the axis."""
        bell = histogram_of((distribution.ppf(QUANTILES) + mean) * spread)
        narrow = histogram_of(stats.norm.ppf(QUANTILES) * spread / 100)
        assert humps(bell, panel_scale([bell], "symlog")) == 1
        assert humps(bell, panel_scale([bell, narrow], "symlog")) == 1

    def test_few_values_leave_no_gap(self):
        """A bell of few values has no gap where the bins are narrower than the distances of its values."""
        bell, narrow = (histogram_of(np.random.default_rng(5).normal(size=400) * spread) for spread in (1, 1e-3))
        scale = panel_scale([bell, narrow], "symlog")
        assert (bell.rebin(scale.edges)[15:35] == 0).any()
        assert np.isfinite(drawn_bars(bell, scale)[0][15:35]).all()

    @pytest.mark.parametrize("largest", [1, 1e5, 1e30])
    def test_no_bar_is_below_the_axis(self, largest):
        """Every bar that has a value is above the bottom of the panel, and no higher than its top."""
        histogram = histogram_of(np.concatenate([np.zeros(10**5), stats.norm.ppf(QUANTILES), [largest]]))
        scale = panel_scale([histogram], "symlog")
        nonzero, every = drawn_bars(histogram, scale)
        axis = height_axis([histogram], scale)
        assert axis.bottom < nonzero[np.isfinite(nonzero)].min()
        assert every.max() < axis.top

    def test_two_bells_are_two_humps(self):
        """Two bells have two humps, so that the test above can fail."""
        both = histogram_of(np.concatenate([stats.norm.ppf(QUANTILES) - 3, stats.norm.ppf(QUANTILES) + 3]))
        assert humps(both, panel_scale([both], "symlog")) == 2

    def test_height_is_the_logarithm_of_the_share_per_unit(self):
        """The bars' densities times their widths are the shares of the values, which add up to all of them."""
        histogram = histogram_of(stats.norm.ppf(QUANTILES))
        scale = panel_scale([histogram], "symlog")
        nonzero, every = drawn_bars(histogram, scale)
        assert (10.0**nonzero * np.diff(scale.edges)).sum() == pytest.approx(1)
        assert (nonzero == every).all()
