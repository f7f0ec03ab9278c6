"""The figures: what is drawn, how large, how many frames, and that the same records give the same bytes."""

import html
import threading

import numpy as np
import pytest

from normlab.spec.quantities import ARTICLE_QUANTITIES, QUANTITIES
from normlab.store.records import Capture
from service.plots import (
    Run,
    accuracy_comparison,
    accuracy_curves,
    loss_curves,
    quantity_gif,
    quantity_still,
    summary_still,
)
from service.plots.style import percentage
from tests.factories import capture_of, histogram_of, metrics_of
from tests.service.plots.figures import decoded, frames

GRADIENT = QUANTITIES["weight_gradient"]
CAPTURES = [capture_of(epoch, quantities=ARTICLE_QUANTITIES) for epoch in range(4)]
METRICS = [metrics_of(epoch) for epoch in range(4)]


def svg_of(values):
    """A still of one layer with these values, as SVG."""
    capture = Capture(0, 1, {(1, "weight_gradient"): histogram_of(values)})
    return quantity_still([capture], GRADIENT, index=0, heading="x", image_format="svg").decode()


class TestQuantityStill:
    def test_png_has_its_size_and_both_colours(self):
        """The still of six layers is a PNG of 1200 by 760 pixels with the colours of values and of zeros."""
        image = decoded(quantity_still(CAPTURES, GRADIENT, index=-1, heading="batch"))
        assert (image.format, image.size) == ("PNG", (1200, 760))
        pixels = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
        assert (0x00, 0x72, 0xB2) in pixels
        assert (0xD5, 0x5E, 0x00) in pixels

    def test_svg_names_every_layer_and_its_zeros(self):
        """Each panel's title has the layer's number and the exact percentage of zeros."""
        histogram = histogram_of([0, 0, 1, 2, 3, 4, 5, 6])
        capture = Capture(0, 1, {(layer, "weight_gradient"): histogram for layer in range(1, 7)})
        svg = quantity_still([capture], GRADIENT, index=0, heading="x", image_format="svg").decode()
        for layer in range(1, 7):
            assert f"layer {layer} · zeros 25.0 %" in svg
        assert "epoch 0 (last: 0)" in svg

    @pytest.mark.parametrize(("values", "mark"), [([0, 0, 1, 2], None), ([0, 0, 0, 0, 0, 0, -1, 1, 2, 3], "▲ 60.0 %")])
    def test_cut_bar_of_zeros_has_its_height_beside_it(self, values, mark):
        """Only a bar of zeros that is more than twice as high as the others is cut, and its height is written."""
        svg = svg_of(values)
        assert mark in svg if mark else "▲" not in svg

    def test_nonfinite_values_are_counted_in_the_panel(self):
        """A panel says how many values are NaN and how many are infinite."""
        svg = svg_of([np.nan] * 12 + [np.inf, 1.0])
        assert "12 NaN" in svg
        assert "1 Inf" in svg

    def test_coarse_bins_are_named_in_the_panel(self):
        """A panel of values that differ less than the stored bins are wide says how wide the bins are."""
        close = 1 + 1e-7 * np.random.default_rng(0).standard_normal(1000)
        assert "std wide" in svg_of(close)
        assert "std wide" not in svg_of(10 * close - 10)

    @pytest.mark.parametrize("scale", ["linear", "symlog"])
    @pytest.mark.parametrize("axis", ["fixed", "free"])
    @pytest.mark.parametrize(
        "values",
        [
            [0, 0, 0], [5.0], [-1e-30, 1e-30], [np.nan], [np.nan, np.inf, 1.0], [1e38, -1e38], [1e-45],
            [3.0001, 3.0002], [-7, -6, 0], [0, 1e-3, 10.0],
        ],
        ids=str,
    )  # fmt: skip
    def test_degenerate_layers_are_drawn(self, values, axis, scale):
        """Layers of zeros, of one value, of extreme or of no finite values are drawn on both scales."""
        capture = Capture(0, 1, {(1, "weight_gradient"): histogram_of(values)})
        image = decoded(quantity_still([capture], GRADIENT, index=0, heading="x", axis=axis, scale=scale))
        assert image.size[0] == 1200


class TestQuantityGif:
    def test_only_bars_and_numbers_change_between_frames(self):
        """A GIF has one frame per capture, and its heading, axes and ticks are the same in all of them."""
        images = frames(quantity_gif(CAPTURES, GRADIENT, heading="batch"))
        assert len(images) == 4
        differing = np.any([np.abs(image - images[0]).max(2) > 40 for image in images[1:]], axis=0)
        assert differing[100:720].any()
        assert not differing[720:].any()  # the ticks of the lower panels
        assert not differing[:40, :600].any()  # the title

    def test_palette_has_the_figures_colours_and_pure_white(self):
        """The palette keeps white, blue and vermillion as they are."""
        colours = decoded(quantity_gif(CAPTURES, GRADIENT, heading="batch")).convert("RGB").getcolors(1 << 20)
        frequent = [colour for count, colour in sorted(colours, reverse=True) if count > 2000]
        assert frequent[0] == (255, 255, 255)
        assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= set(frequent)

    def test_frames_above_the_limit_are_thinned_evenly(self):
        """Of more captures than frames are allowed, evenly chosen ones are drawn, the first and last among them."""
        captures = [capture_of(epoch) for epoch in range(7)]
        few = frames(quantity_gif(captures, GRADIENT, heading="batch", max_frames=3))
        assert len(few) == 3
        every = frames(quantity_gif(captures, GRADIENT, heading="batch", max_frames=7))
        for frame, index in zip(few, (0, 3, 6), strict=True):
            assert (frame == every[index]).all()

    def test_taller_frames_are_fewer(self):
        """Frames of many layers are fewer, so that the pixels of a GIF stay below their limit."""
        six, twelve = (
            quantity_gif(
                [capture_of(epoch, layers=range(1, 1 + count)) for epoch in range(9)], GRADIENT, heading="x",
                max_pixels=1200 * 760 * 4,
            )
            for count in (6, 12)
        )  # fmt: skip
        assert len(frames(six)) == 4
        assert len(frames(twelve)) == 2

    def test_free_axes_are_redrawn_for_every_frame(self):
        """With free axes each frame has the range of its own capture, and with fixed axes that of all."""
        growing = [Capture(e, e + 1, {(1, "weight_gradient"): histogram_of(np.arange(9) * 10.0**e)}) for e in range(3)]
        assert len(frames(quantity_gif(growing, GRADIENT, heading="x", axis="free"))) == 3
        fixed, free = (
            quantity_still(growing, GRADIENT, index=0, heading="x", axis=axis, image_format="svg").decode()
            for axis in ("fixed", "free")
        )
        assert fixed != free


class TestSummary:
    @pytest.mark.slow
    def test_summary_shows_four_quantities_of_six_layers(self):
        """The summary has the titles of the article's four quantities and each of their layers."""
        svg = summary_still(CAPTURES[-1], heading="x", image_format="svg").decode()
        for name in ARTICLE_QUANTITIES:
            assert QUANTITIES[name].title in svg
        assert svg.count(">layer 3 ") == 4
        assert decoded(summary_still(CAPTURES[-1], heading="x")).size == (1800, 1200)

    def test_missing_quantity_is_named(self):
        """A summary without one of its quantities is refused with the quantity's name."""
        with pytest.raises(ValueError, match="weight_minus_gradient, which was not captured"):
            summary_still(capture_of(0, quantities=ARTICLE_QUANTITIES[:3]), heading="x")


HOSTILE = r"$\frac$ \$ _ & <b>"
DRAWN_WITH_TEXT = {
    "still": lambda: quantity_still(CAPTURES, GRADIENT, index=0, heading=HOSTILE, image_format="svg"),
    "summary": lambda: summary_still(CAPTURES[0], heading=HOSTILE, image_format="svg"),
    "loss": lambda: loss_curves(METRICS, heading=HOSTILE, image_format="svg"),
    "accuracy": lambda: accuracy_curves(METRICS, heading=HOSTILE, image_format="svg"),
    "comparison": lambda: accuracy_comparison(
        [Run(HOSTILE, "none", METRICS)], "test", heading="digits", image_format="svg"
    ),
}


class TestText:
    @pytest.mark.parametrize(
        ("part", "whole", "text"),
        [
            (0, 10, "0 %"), (10, 10, "100 %"), (1, 3, "33.3 %"), (1, 10**6, "< 0.1 %"),
            (10**6 - 1, 10**6, "> 99.9 %"), (0, 0, "0 %"),
        ],
    )  # fmt: skip
    def test_percentage_is_never_rounded_to_none_or_all(self, part, whole, text):
        """A percentage is "0 %" only for none and "100 %" only for all."""
        assert percentage(part, whole) == text

    @pytest.mark.parametrize("draw", DRAWN_WITH_TEXT.values(), ids=DRAWN_WITH_TEXT)
    def test_users_text_is_drawn_letter_by_letter(self, draw):
        """A name that would be a formula in mathtext, or markup in SVG, is drawn as it is written."""
        assert f">{html.escape(HOSTILE, quote=False)}</text>" in draw().decode()


@pytest.mark.slow
class TestEveryFigure:
    def test_same_records_give_the_same_bytes_in_threads(self):
        """The same records give the same bytes, in one thread and in four at once."""

        def draw():
            return (
                quantity_gif(CAPTURES, GRADIENT, heading="x"),
                quantity_still(CAPTURES, GRADIENT, index=1, heading="x", image_format="svg"),
                quantity_still(CAPTURES, GRADIENT, index=1, heading="x", image_format="pdf"),
                summary_still(CAPTURES[0], heading="x"),
            )

        alone, together = draw(), []
        threads = [threading.Thread(target=lambda: together.append(draw())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert together == [alone] * 4

    @pytest.mark.parametrize(
        "draw",
        [
            lambda: quantity_still([], GRADIENT, index=0, heading="x"),
            lambda: quantity_gif([Capture(0, 1, {})], GRADIENT, heading="x"),
            lambda: loss_curves([], heading="x"),
            lambda: accuracy_comparison([], "train", heading="digits"),
        ],
    )
    def test_no_records_are_an_error_not_an_empty_image(self, draw):
        """A figure without records is refused."""
        with pytest.raises(ValueError, match="nothing to draw yet"):
            draw()
