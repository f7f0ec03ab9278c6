"""Figures of many layers: their size, that their texts are readable, and what the colours of a heat map are."""

import time

import numpy as np
import pytest

from normlab.spec.quantities import ARTICLE_QUANTITIES, QUANTITIES
from normlab.store.records import Capture
from service.plots import quantity_gif, quantity_still, summary_still
from service.plots.captions import NO_CAPTIONS
from service.plots.encode import empty_figure
from service.plots.heat_map import HeatMap
from service.plots.layout import Area
from service.plots.summary import summary_figure
from tests.factories import capture_of, histogram_of
from tests.service.plots.figures import covered, decoded, frames

GRADIENT = QUANTITIES["weight_gradient"]
SCALES = ["linear", "symlog"]


def capture_of_layers(count, epoch=0):
    return capture_of(epoch, layers=range(1, count + 1), quantities=ARTICLE_QUANTITIES)


def captions_of(count):
    return {layer: f"convolution 3×3 → {128 * layer}×112×112" for layer in range(1, count + 1)}


def heat_map_of(histograms, scale):
    """A heat map of layers with these histograms, which shows them."""
    capture = Capture(0, 1, {(layer, "weight"): histogram for layer, histogram in enumerate(histograms, 1)})
    area = Area(0, 0, 9, 5)
    drawn = HeatMap(empty_figure(9, 5), area, [capture], "weight", scale=scale, captions=NO_CAPTIONS)
    drawn.show(capture)
    return drawn


class TestManyLayers:
    @pytest.mark.slow
    @pytest.mark.parametrize("scale", SCALES)
    @pytest.mark.parametrize("layers", [1, 2, 4, 5, 12, 13, 40])
    def test_texts_of_a_summary_do_not_touch(self, layers, scale):
        """No title, label or number of a summary covers another, or leaves the figure."""
        heading = "experiment 7 · a name · batch · fashion_mnist · original protocol · seed 3 · learning rate 0.0008"
        figure = summary_figure(capture_of_layers(layers), heading, ["a note"], captions_of(layers), scale)
        assert covered(figure) == []

    def test_figures_grow_with_the_layers(self):
        """A summary of one layer is small, and one of forty is higher, but has no panel for each layer."""
        sizes = [decoded(summary_still(capture_of_layers(count), heading="x")).size for count in (1, 40)]
        assert sizes[0][0] < sizes[1][0] == 1800
        assert sizes[0][1] < 800 < sizes[1][1] < 2400

    def test_forty_layers_are_drawn_in_time(self):
        """A summary of forty layers takes less than three seconds."""
        capture = capture_of_layers(40)
        started = time.process_time()
        summary_still(capture, heading="x")
        assert time.process_time() - started < 3

    @pytest.mark.parametrize("scale", SCALES)
    def test_gif_of_forty_layers(self, scale):
        """A GIF of forty layers has a frame for each capture, and a frame is the still of its capture."""
        captures = [capture_of(epoch, layers=range(1, 41)) for epoch in range(3)]
        images = frames(quantity_gif(captures, GRADIENT, heading="x", scale=scale))
        still = np.asarray(
            decoded(quantity_still(captures, GRADIENT, index=1, heading="x", scale=scale)).convert("RGB")
        )
        assert len(images) == 3
        assert (np.abs(images[1] - np.asarray(still, dtype=int)).max(2) > 30).mean() < 0.001


class TestColours:
    def test_linear_row_is_relative_to_its_layer(self):
        """On a linear scale layers that differ by a factor alone have the same row."""
        values = np.linspace(-1, 1, 999) ** 3
        drawn = heat_map_of([histogram_of(values), histogram_of(values / 1024)], "linear")
        first, second = drawn.colours
        assert first == pytest.approx(second)
        assert first.max() == 1

    def test_symlog_rows_share_the_axis(self):
        """On a symmetric logarithmic scale the rows share the axis, and a layer of smaller values is narrower."""
        values = np.linspace(-1, 1, 999)
        drawn = heat_map_of([histogram_of(values), histogram_of(values / 1024)], "symlog")
        assert (drawn.colours[0] > 0).sum() > 1.5 * (drawn.colours[1] > 0).sum()

    def test_zeros_are_beside_the_row(self):
        """Exact zeros are in the bar beside the row, and not in its colours."""
        drawn = heat_map_of([histogram_of([0, 0, 0, 1]), histogram_of([-1, 1, np.nan, np.inf])], "linear")
        assert list(drawn.fractions) == [0.75, 0]
        assert [text.get_text() for text in drawn.percentages] == ["75.0 %", "0 %"]
        assert (drawn.colours[0] > 0).sum() == 1
        assert [text.get_text() for text in drawn.notes] == ["", "1 NaN, 1 Inf"]
