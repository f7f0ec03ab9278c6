"""Curves over epochs: gaps, single epochs, losses that diverge, and comparisons whose curves all differ."""

from itertools import combinations

import numpy as np
import pytest

from normlab.spec.variants import VARIANTS
from service.plots import Run, accuracy_comparison, accuracy_curves, loss_curves
from service.plots.comparison import MAX_RUNS_PER_VARIANT, run_style
from service.plots.curves import curve_axes, scale_losses
from service.plots.header import Header
from tests.factories import metrics_of
from tests.service.plots.figures import covered, decoded

METRICS = [metrics_of(epoch) for epoch in range(4)]
HEADER = Header.of("Loss", "experiment 7 · batch · digits · seed 3 · learning rate 10", width=9)


def ticks_of(axis):
    low, high = axis.get_view_interval()
    return [tick for tick in axis.get_majorticklocs() if low <= tick <= high]


class TestLoss:
    def test_nonfinite_loss_is_a_gap_and_one_epoch_a_dot(self):
        """A curve is drawn with gaps where the loss is not finite, and a single epoch is visible."""
        metrics = [metrics_of(0), metrics_of(1, train_loss=None, test_loss=None), metrics_of(2)]
        assert decoded(loss_curves(metrics, heading="x")).size == (900, 550)
        assert b"train" in loss_curves(metrics, heading="x", image_format="svg")
        image = decoded(accuracy_curves(METRICS[:1], heading="x")).convert("RGB")
        assert (0x00, 0x72, 0xB2) in {colour for _, colour in image.getcolors(1 << 20)}

    @pytest.mark.parametrize("losses", [[2.3, 1e11, 3e11], [0.0, 1e11], [3e11], [0.0], [], [2.0, 1e-9]], ids=str)
    def test_axis_of_losses_of_any_size(self, losses):
        """Losses of any size have two labelled ticks or more, and no number lies on the heading."""
        figure, axes = curve_axes([metrics_of(epoch) for epoch in range(max(1, len(losses)))], HEADER, "loss")
        axes.plot(range(len(losses)), losses)
        scale_losses(axes, losses)
        figure.canvas.draw()
        assert covered(figure) == []
        assert len(ticks_of(axes.yaxis)) >= 2
        assert axes.yaxis.get_offset_text().get_text() == ""

    def test_power_of_ten_of_large_losses_is_in_the_label(self):
        """Losses of 1e11 have small numbers at their ticks and the power of ten in the axis' label."""
        _, axes = curve_axes(METRICS, HEADER, "loss")
        scale_losses(axes, [0.0, 3e11])
        assert axes.get_ylabel() == "cross-entropy ($10^{11}$ nats)"


class TestEpochs:
    @pytest.mark.parametrize("epochs", [1, 2, 3, 150])
    @pytest.mark.parametrize("first", [0, 7])
    def test_axis_has_whole_epochs(self, first, epochs):
        """An axis of one epoch or of many has two ticks or more, and only whole epochs."""
        _, axes = curve_axes([metrics_of(first + epoch) for epoch in range(epochs)], HEADER, "loss")
        axes.plot(range(first, first + epochs), np.ones(epochs))
        ticks = ticks_of(axes.xaxis)
        assert len(ticks) >= 2
        assert all(tick == round(tick) for tick in ticks)


class TestComparison:
    def test_comparison_has_the_articles_colours(self):
        """Each variant's curve has the colour of its row, and the first five rows those of the article."""
        runs = [Run(variant, variant, METRICS) for variant in VARIANTS]
        svg = accuracy_comparison(runs, "test", heading="digits", image_format="svg").decode()
        colours = [variant.colour for variant in VARIANTS.values()]
        assert colours[:5] == ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"]
        for colour in colours:
            assert colour in svg

    @pytest.mark.parametrize("epochs", [1, 3, 150])
    def test_fifty_curves_of_one_variant_differ(self, epochs):
        """Any two of 52 curves of one variant differ in dash or marker, and dots of one epoch in shape or filling."""
        styles = [run_style(number, epochs, 0.5) for number in range(MAX_RUNS_PER_VARIANT)]
        names = ("marker", "fillstyle") if epochs == 1 else ("marker", "linestyle")
        for one, other in combinations(styles, 2):
            assert any(one[name] != other[name] for name in names)

    def test_more_curves_than_styles_are_refused(self):
        """A comparison of more curves of one variant than there are styles is refused with the limit."""
        with pytest.raises(ValueError, match="more than 52 curves of one variant"):
            accuracy_comparison([Run("x", "batch", METRICS)] * 53, "test", heading="x")

    def test_long_legend_widens_the_figure(self):
        """Many long names widen the figure and leave its axes and its heading where they are."""
        few = decoded(accuracy_comparison([Run("batch", "batch", METRICS)], "test", heading="digits"))
        many = decoded(accuracy_comparison([Run("W" * 40, "batch", METRICS)] * 40, "test", heading="digits"))
        assert many.width > few.width + 500
        narrow, wide = (np.asarray(image.convert("RGB"))[:, :92] for image in (few, many))
        assert (narrow == wide).all()  # the y axis
