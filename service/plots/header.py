"""The header of a figure: its title, what it says of the experiment, notes, and the key of the colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from service.plots.style import FAINT, INK
from service.plots.text import drawable, inches_of, wrapped

# Inches: from the figure's sides, from its top to the middle of the title and of the first line, from line to line.
SIDE, TITLE, FIRST_LINE, LINE, BELOW = 0.36, 0.3, 0.62, 0.2, 0.18
TITLE_SIZE, CORNER_SIZE, SIZE, KEY_SIZE = 16, 14, 11, 10  # points
KEY_GAP = 0.25  # inches
CODE_POINTS = "U+… is the code point of a character that no font of this machine has"


@dataclass(frozen=True)
class Line:
    """One line below the title. fonts: the families that have its characters."""

    text: str
    fonts: tuple[str, ...]
    colour: str


@dataclass(frozen=True)
class Header:
    """A title, as mathtext, the lines below it, and the entries of the key, each a text and its colour."""

    title: str
    lines: tuple[Line, ...]
    key: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, title: str, heading: str, notes: Sequence[str] = (), *, width: float,
        key: tuple[tuple[str, str], ...] = (),
    ) -> "Header":  # fmt: skip
        """Return a header for a figure of this width, in inches.

        heading: what the figure says of its experiment: parts with dots between them, wrapped if it is long. notes:
        warnings and other remarks. Each begins a line.
        """
        room = width - 2 * SIDE - sum(inches_of(text, size=KEY_SIZE) + KEY_GAP for text, _ in key)
        texts = [(drawable(heading), FAINT), *((drawable(note), INK) for note in notes)]
        if any(text.code_points for text, _ in texts) and CODE_POINTS not in notes:
            texts.append((drawable(CODE_POINTS), FAINT))
        lines = [
            Line(line, text.fonts, colour)
            for text, colour in texts
            for line in wrapped(text.text, fonts=text.fonts, size=SIZE, inches=room)
        ]
        return cls(title, tuple(lines), key)

    @property
    def height(self) -> float:
        """The height, in inches, with the space below."""
        return FIRST_LINE + LINE * (len(self.lines) - 1) + BELOW

    def draw(self, figure: Figure, corner: str = "") -> Text:
        """Draw the header at the top of a figure. Return the text in its upper right corner."""
        width, height = figure.get_size_inches()

        def write(text: str, x: float, below: float, **style: Any) -> Text:
            # In inches, so that a figure that is widened afterwards leaves the text where it is.
            return figure.text(x, height - below, text, transform=figure.dpi_scale_trans, va="center", **style)

        write(self.title, SIDE, TITLE, fontsize=TITLE_SIZE, color=INK)
        for index, line in enumerate(self.lines):
            below = FIRST_LINE + LINE * index
            write(line.text, SIDE, below, fontsize=SIZE, color=line.colour, family=list(line.fonts))
        right = width - SIDE
        for text, colour in reversed(self.key):
            write(text, right, FIRST_LINE, fontsize=KEY_SIZE, color=colour, ha="right")
            right -= inches_of(text, size=KEY_SIZE) + KEY_GAP
        return write(corner, width - SIDE, TITLE, fontsize=CORNER_SIZE, color=INK, ha="right")
