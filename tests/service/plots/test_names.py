"""Users' names in figures: no figure's heading loses a word, whatever script, sign or control character is in it."""

import pytest

from normlab.spec.quantities import ARTICLE_QUANTITIES, QUANTITIES
from service.plots import (
    SEPARATOR,
    Run,
    accuracy_comparison,
    accuracy_curves,
    loss_curves,
    quantity_still,
    short,
    summary_still,
)
from service.plots.encode import empty_figure, encode
from service.plots.fonts import fallback_families
from service.plots.header import CODE_POINTS, Header
from service.plots.text import drawable
from tests.factories import capture_of, metrics_of
from tests.service.plots.figures import covered
from tests.service.plots.names import BROKEN, NAMES, lost_words

CAPTURES = [capture_of(0, layers=[1], quantities=ARTICLE_QUANTITIES)]
METRICS = [metrics_of(epoch) for epoch in range(3)]
GRADIENT = QUANTITIES["weight_gradient"]
EVERY = (*NAMES, *BROKEN)
FIGURES = {
    "still": lambda heading, kind: quantity_still(CAPTURES, GRADIENT, index=0, heading=heading, image_format=kind),
    "summary": lambda heading, kind: summary_still(CAPTURES[0], heading=heading, image_format=kind),
    "loss": lambda heading, kind: loss_curves(METRICS, heading=heading, image_format=kind),
    "accuracy": lambda heading, kind: accuracy_curves(METRICS, heading=heading, image_format=kind),
    "comparison": lambda heading, kind: accuracy_comparison(
        [Run("batch", "batch", METRICS)], "test", heading=heading, image_format=kind
    ),
}


def heading_of(*names):
    return SEPARATOR.join(["experiment 7", *map(short, names), "batch", "seed 3"])


class TestHeading:
    @pytest.mark.parametrize("name", EVERY)
    def test_no_word_is_lost(self, name):
        """A heading has every word of the name, and every word around it."""
        svg = loss_curves(METRICS, heading=heading_of(name), image_format="svg")
        assert lost_words(svg, name, "experiment 7 batch seed 3") == []

    @pytest.mark.slow
    @pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
    @pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
    def test_every_figure_draws_every_name(self, draw, kind):
        """Every figure has every word of every name, and no format lacks the shape of a character."""
        content = draw(heading_of(*EVERY), kind)
        assert kind != "svg" or lost_words(content, *EVERY, "experiment 7 batch seed 3") == []

    def test_label_of_a_comparison(self):
        """The label of a curve has every word of the name."""
        runs = [Run(f"batch ({short(name)})", "batch", METRICS) for name in EVERY]
        assert lost_words(accuracy_comparison(runs, "test", heading="x", image_format="svg"), *EVERY) == []

    @pytest.mark.parametrize("width", [9, 12])
    def test_long_heading_is_wrapped(self, width):
        """The lines of a long heading, and the key beside it, neither leave the figure nor cover each other."""
        header = Header.of("Title", heading_of(*EVERY), ["a note"], width=width, key=(("a key of the colours", "red"),))
        figure = empty_figure(width, header.height)
        header.draw(figure, "epoch 3 of 4")
        assert covered(figure) == []
        assert len(header.lines) > 5


class TestShort:
    def test_long_name_ends_in_an_ellipsis(self):
        """A name longer than 32 characters is cut, and a name of 32 is not."""
        assert short("W" * 33) == "W" * 31 + "…"
        assert short("W" * 32) == "W" * 32

    @pytest.mark.parametrize("last", ["a\u0301", "👍🏽", "👩\u200d🔬"])
    def test_cut_leaves_characters_whole(self, last):
        """A name is not cut before an accent, a skin colour or a joiner."""
        assert short("W" * 30 + last + "W" * 5) == "W" * 30 + "…"

    def test_name_of_marks_is_cut_too(self):
        """A name that has only combining marks is cut as well."""
        assert short("\u0301" * 40) == "\u0301" * 31 + "…"

    def test_right_to_left_name_is_isolated(self):
        """A name from right to left is isolated, and one that overrides the direction loses the override."""
        assert short("שלום") == "\u2068שלום\u2069"
        assert short("evil \u202egnp.exe") == "evil gnp.exe"


class TestDrawable:
    @pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\n", "\r", "\x85", "\t"], ids=ascii)
    def test_separator_is_a_space(self, separator):
        """A separator of lines or paragraphs is drawn as a space, and so is what follows it."""
        parted, spaced = (loss_curves(METRICS, heading=f"before{character}after") for character in (separator, " "))
        assert parted == spaced
        assert short(f"before{separator}after") == "before after"

    def test_character_without_a_font_is_a_code_point(self):
        """A character that no font has is named by its code point, and the figure says so once."""
        nowhere = "\U0010fffd"  # of a private use area, which no font of text has
        assert fallback_families(nowhere) == ((), {nowhere})
        assert drawable(f"a{nowhere}b").text == "a U+10FFFD b"
        svg = loss_curves(METRICS, heading=nowhere, notes=[nowhere], image_format="svg").decode()
        assert svg.count("U+10FFFD") == 2
        assert svg.count(CODE_POINTS) == 1

    def test_ordinary_text_needs_no_other_font(self):
        """Latin, Greek and Cyrillic text is drawn with the figures' own font, without a remark."""
        text = drawable("naïve λ обучение")
        assert (text.text, len(text.fonts), text.code_points) == ("naïve λ обучение", 1, False)

    def test_pdf_draws_unusual_text_as_shapes(self):
        """A PDF keeps ordinary text as text, and draws the outlines of text that is turned or needs another font."""
        figure = empty_figure(3, 1)
        texts = [figure.text(0, 0.5, text) for text in ("λ = 1", short("שלום"))]
        encode(figure, "pdf")
        assert [bool(text.get_path_effects()) for text in texts] == [False, True]
