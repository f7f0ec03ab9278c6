"""Figures: what is drawn, how large, how many frames, and that threads and second calls get the same bytes."""

import html
import io
import threading
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from normlab.spec.layers import Normalization
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
from service.plots.style import VARIANT_COLOURS, share, short
from tests.factories import capture_of, histogram_of, metrics_of

GRADIENT = QUANTITIES["weight_gradient"]
CAPTURES = [capture_of(epoch, quantities=ARTICLE_QUANTITIES) for epoch in range(4)]
METRICS = [metrics_of(epoch) for epoch in range(4)]


def opened(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def frames(gif):
    image = opened(gif)
    found = []
    for place in range(image.n_frames):
        image.seek(place)
        found.append(np.asarray(image.convert("RGB")).astype(int))
    return found


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 10, "0 %"), (10, 10, "100 %"), (1, 3, "33.3 %"), (1, 10**6, "< 0.1 %"),
        (10**6 - 1, 10**6, "> 99.9 %"), (0, 0, "0 %"),
    ],
)  # fmt: skip
def test_a_share_of_zeros_is_never_rounded_to_none_or_all(part, whole, words):
    assert share(part, whole) == words


def test_a_still_is_a_png_of_1200_by_760_pixels_with_both_colours_in_it():
    image = opened(quantity_still(CAPTURES, GRADIENT, shown=-1, heading="batch"))
    assert (image.format, image.size) == ("PNG", (1200, 760))
    pixels = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert (0x00, 0x72, 0xB2) in pixels
    assert (0xD5, 0x5E, 0x00) in pixels


def test_an_svg_names_every_layer_and_its_exact_share_of_zeros():
    histogram = histogram_of([0, 0, 1, 2, 3, 4, 5, 6])
    capture = Capture(0, 1, {(layer, "weight_gradient"): histogram for layer in range(1, 7)})
    svg = quantity_still([capture], GRADIENT, shown=0, heading="x", image_format="svg").decode()
    for layer in range(1, 7):
        assert f"layer {layer}   zeros 25.0 %" in svg
    assert "epoch 0 of 0" in svg


def test_a_gif_has_a_frame_a_capture_and_only_its_bars_and_numbers_move():
    shown = frames(quantity_gif(CAPTURES, GRADIENT, heading="batch"))
    assert len(shown) == 4
    differing = np.any([np.abs(frame - shown[0]).max(2) > 40 for frame in shown[1:]], axis=0)
    assert differing[100:720].any()
    assert not differing[720:].any()  # the lower panels' ticks stand still
    assert not differing[:40, :600].any()  # and so does the title


def test_a_gif_has_the_figures_own_colours_on_pure_white():
    colours = opened(quantity_gif(CAPTURES, GRADIENT, heading="batch")).convert("RGB").getcolors(1 << 20)
    often = [colour for count, colour in sorted(colours, reverse=True) if count > 2000]
    assert often[0] == (255, 255, 255)
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= set(often)


@pytest.mark.parametrize(("values", "mark"), [([0, 0, 1, 2], None), ([0, 0, 0, 0, 0, 0, -1, 1, 2, 3], "▲ 60.0 %")])
def test_a_bar_of_zeros_that_is_cut_has_its_height_beside_it(values, mark):
    captures = [Capture(0, 1, {(1, "weight_gradient"): histogram_of(values)})]
    drawn = quantity_still(captures, GRADIENT, shown=0, heading="x", image_format="svg").decode()
    assert mark in drawn if mark else "▲" not in drawn


HOSTILE = r"$\frac$ \$ _ & <b>"
DRAWN_WITH_WORDS = {
    "still": lambda: quantity_still(CAPTURES, GRADIENT, shown=0, heading=HOSTILE, image_format="svg"),
    "summary": lambda: summary_still(CAPTURES[0], heading=HOSTILE, image_format="svg"),
    "loss": lambda: loss_curves(METRICS, heading=HOSTILE, image_format="svg"),
    "accuracy": lambda: accuracy_curves(METRICS, heading=HOSTILE, image_format="svg"),
    "comparison": lambda: accuracy_comparison(
        [Run(HOSTILE, "none", METRICS)], "test", heading="digits", image_format="svg"
    ),
}


@pytest.mark.parametrize("draw", DRAWN_WITH_WORDS.values(), ids=DRAWN_WITH_WORDS)
def test_a_name_is_drawn_letter_by_letter_whatever_it_would_mean_to_mathtext(draw):
    assert f"<!-- {html.escape(HOSTILE, quote=False)} -->" in draw().decode()


def test_a_long_name_is_cut():
    assert short("W" * 33) == "W" * 31 + "…"
    assert short("W" * 32) == "W" * 32


def test_many_long_names_widen_the_comparison_and_leave_its_axes_as_they_are():
    few = opened(accuracy_comparison([Run("batch", "batch", METRICS)], "test", heading="digits"))
    many = opened(accuracy_comparison([Run("W" * 40, "batch", METRICS)] * 40, "test", heading="digits"))
    assert many.width > few.width + 500
    one, other = (np.asarray(image.convert("RGB"))[:, :85] for image in (few, many))
    assert (one == other).all()  # the y axis stands where it stood


def test_of_more_captures_than_a_gif_has_room_for_as_many_are_drawn_the_first_and_last_among_them(monkeypatch):
    monkeypatch.setattr("service.plots.quantity.MAX_FRAMES", 3)
    captures = [capture_of(epoch) for epoch in range(7)]
    few = quantity_gif(captures, GRADIENT, heading="batch")
    assert len(frames(few)) == 3
    monkeypatch.setattr("service.plots.quantity.MAX_FRAMES", 7)
    every = frames(quantity_gif(captures, GRADIENT, heading="batch"))
    for frame, place in zip(frames(few), (0, 3, 6), strict=True):
        assert (frame == every[place]).all()


def test_the_taller_a_frame_the_fewer_there_are_so_that_many_layers_do_not_take_all_memory(monkeypatch):
    monkeypatch.setattr("service.plots.quantity.MAX_PIXELS", 1200 * 760 * 4)
    six, eighteen = (
        quantity_gif([capture_of(epoch, layers=range(1, 1 + count)) for epoch in range(9)], GRADIENT, heading="x")
        for count in (6, 18)
    )
    assert len(frames(six)) == 4
    assert len(frames(eighteen)) == 2


def test_a_gif_of_free_axes_redraws_them_for_every_frame():
    growing = [Capture(e, e + 1, {(1, "weight_gradient"): histogram_of(np.arange(9) * 10.0**e)}) for e in range(3)]
    assert len(frames(quantity_gif(growing, GRADIENT, heading="x", axis="free"))) == 3
    still = [
        quantity_still(growing, GRADIENT, shown=0, heading="x", axis=axis, image_format="svg").decode()
        for axis in ("fixed", "free")
    ]
    assert still[0] != still[1]


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
def test_degenerate_layers_are_drawn_too(values, axis, scale):
    capture = Capture(0, 1, {(1, "weight_gradient"): histogram_of(values)})
    image = opened(quantity_still([capture], GRADIENT, shown=0, heading="x", axis=axis, scale=scale))
    assert image.size[0] == 1200


def test_values_that_are_not_finite_are_said_in_words():
    capture = Capture(0, 1, {(1, "weight_gradient"): histogram_of([np.nan] * 12 + [np.inf, 1.0])})
    svg = quantity_still([capture], GRADIENT, shown=0, heading="x", image_format="svg").decode()
    assert "12 NaN" in svg
    assert "1 Inf" in svg


def test_the_summary_shows_four_quantities_of_six_layers():
    svg = summary_still(CAPTURES[-1], heading="x", image_format="svg").decode()
    for name in ARTICLE_QUANTITIES:
        assert QUANTITIES[name].title in svg
    assert svg.count("<!-- layer 3 ") == 4
    assert opened(summary_still(CAPTURES[-1], heading="x")).size == (1800, 1200)


def test_a_loss_that_was_not_finite_is_a_gap_and_a_single_epoch_a_dot():
    gap = [metrics_of(0), metrics_of(1, train_loss=None, test_loss=None), metrics_of(2)]
    assert opened(loss_curves(gap, heading="x")).size == (900, 550)
    assert b"train" in loss_curves(gap, heading="x", image_format="svg")
    image = opened(accuracy_curves(METRICS[:1], heading="x")).convert("RGB")
    assert (0x00, 0x72, 0xB2) in {colour for _, colour in image.getcolors(1 << 20)}


def test_a_comparison_is_in_the_articles_colours():
    runs = [Run(variant, variant, METRICS) for variant in VARIANT_COLOURS]
    svg = accuracy_comparison(runs, "test", heading="digits", image_format="svg").decode()
    assert list(VARIANT_COLOURS.values())[:5] == ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"]
    for colour in VARIANT_COLOURS.values():
        assert colour in svg


def test_every_variant_has_a_colour_of_its_own():
    assert VARIANT_COLOURS.keys() == set(get_args(Normalization))
    assert len(set(VARIANT_COLOURS.values())) == len(VARIANT_COLOURS)


def test_the_same_records_are_the_same_bytes_in_one_thread_and_in_four():
    def draw():
        return (
            quantity_gif(CAPTURES, GRADIENT, heading="x"),
            quantity_still(CAPTURES, GRADIENT, shown=1, heading="x", image_format="svg"),
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
        lambda: quantity_still([], GRADIENT, shown=0, heading="x"),
        lambda: quantity_gif([Capture(0, 1, {})], GRADIENT, heading="x"),
        lambda: loss_curves([], heading="x"),
        lambda: accuracy_comparison([], "train", heading="digits"),
    ],
)
def test_nothing_to_draw_is_an_error_not_an_empty_picture(draw):
    with pytest.raises(ValueError, match="draw yet"):
        draw()


def test_the_summary_says_which_quantity_it_lacks():
    with pytest.raises(ValueError, match="weight_minus_gradient, which was not captured"):
        summary_still(capture_of(0, quantities=ARTICLE_QUANTITIES[:3]), heading="x")
