"""Users' text in figures: on one line, in its own direction, each character drawn or named by its code point."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from service.plots.fonts import FAMILY, fallback_families

MAX_NAME_LENGTH = 32  # characters
SEPARATOR = " · "
HINTED = 1.04  # Agg draws a text up to so many times as wide as its outlines are

# A control character or a line separator ends matplotlib's line, and what follows it would not be drawn.
_SPACES = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029], " ")
_OVERRIDES = dict.fromkeys(range(0x202A, 0x202F))  # they turn round the text behind them
_DIRECTIONS = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x2066, 0x206A)])
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"  # the text between them does not change the direction outside
_RIGHT_TO_LEFT = {"R", "AL", "AN"}
_JOINER = "\u200d"


@dataclass(frozen=True)
class DrawableText:
    """Text for matplotlib. fonts: the families that have its characters. code_points: whether it names some."""

    text: str
    fonts: tuple[str, ...]
    code_points: bool


def short(name: str) -> str:
    """Return a user's name as figures show it: on one line, of at most 32 characters.

    A name that is written from right to left is isolated, so that it does not turn round the text beside it.
    """
    line = " ".join(name.translate(_SPACES | _OVERRIDES | _DIRECTIONS).split())
    if len(line) > MAX_NAME_LENGTH:
        line = line[: _cut(line, MAX_NAME_LENGTH - 1)] + "…"
    turned = any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in line)
    return f"{_ISOLATE}{line}{_END_OF_ISOLATE}" if turned else line


def drawable(text: str) -> DrawableText:
    """Return text that matplotlib draws letter by letter on one line. A dollar sign in it does not start a formula.

    A character that no font of this machine has is named by its code point, such as U+732B.
    """
    line = text.translate(_SPACES | _OVERRIDES)
    families, lacking = fallback_families(line)
    lacking -= {_ISOLATE, _END_OF_ISOLATE}  # the layout obeys them, although no font has them
    invisible = {character for character in lacking if _is_invisible(character)}
    named = lacking - invisible
    words = "".join(f" U+{ord(each):04X} " if each in named else each for each in line if each not in invisible)
    if named:
        words = re.sub(f" [ {_JOINER}]*", " ", words).strip().replace(f"{_ISOLATE} ", _ISOLATE)
    return DrawableText(words.replace("$", r"\$"), (FAMILY, *families), bool(named))


def is_plain(text: str) -> bool:
    """Return whether the figures' own font has every character, and none is an invisible format character."""
    return fallback_families(text) == ((), frozenset()) and not any(map(_is_invisible, text))


def inches_of(text: str, *, size: float, fonts: Sequence[str] = (FAMILY,)) -> float:
    """Return how wide matplotlib draws a text, in inches. size: of the font, in points."""
    properties = FontProperties(family=list(fonts), size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text.replace(r"\$", "$"), properties, ismath=False)
    return HINTED * float(width) / 72


def wrapped(text: str, *, fonts: Sequence[str], size: float, inches: float) -> list[str]:
    """Return the text in lines that are no wider than that, broken at its dots, and at spaces where that is not enough.

    size: of the font, in points.
    """

    def fits(line: str) -> bool:
        return inches_of(line, size=size, fonts=fonts) <= inches

    if fits(text):
        return [text]
    lines: list[str] = []
    for part in text.split(SEPARATOR):
        if lines and fits(joined := lines[-1] + SEPARATOR + part):
            lines[-1] = joined
        else:
            lines += _packed(part.split(" "), fits)
    return lines


def _packed(words: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    """Return the words in lines, each with as many as fit."""
    lines: list[str] = []
    for word in words:
        if lines and fits(joined := f"{lines[-1]} {word}"):
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def _cut(line: str, end: int) -> int:
    """Return the end of the last whole character: not before a mark or a joiner, and not behind a joiner."""
    for place in range(end, 0, -1):
        if not (_attaches(line[place]) or line[place - 1] == _JOINER):
            return place
    return end


def _attaches(character: str) -> bool:
    skin_colour = "\U0001f3fb" <= character <= "\U0001f3ff"
    return skin_colour or character == _JOINER or unicodedata.category(character).startswith("M")


def _is_invisible(character: str) -> bool:
    """Return whether a character only changes how others are drawn: a format character or a variation selector."""
    return (
        unicodedata.category(character) == "Cf"
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )
