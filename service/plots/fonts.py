"""The machine's fonts, for the characters that the figures' own font does not have."""

from functools import cache

from matplotlib.font_manager import FontEntry, FontPath, findfont, fontManager
from matplotlib.ft2font import FaceFlags, FT2Font

FAMILY = "DejaVu Sans"  # matplotlib brings it
# These are tried first, because they have many characters and even strokes. Others follow in alphabetical order.
PREFERRED = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Droid Sans Fallback", "WenQuanYi Zen Hei", "Noto Emoji", "Symbola",
)  # fmt: skip
LAST = "Unifont"  # it draws all of Unicode in coarse squares, so it is tried last
PLACEHOLDERS = ("Last Resort", "LastResort", "Adobe Blank")  # they have a box or nothing for every character


def fallback_families(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the families that have the characters which FAMILY lacks, and the characters that none has."""
    lacking = set(text) - _own_characters()
    families = []
    if lacking:
        for family, paths in _machine_fonts():
            if not lacking:
                break
            if drawn := lacking & _characters(paths):
                families.append(family)
                lacking -= drawn
    return tuple(families), frozenset(lacking)


@cache
def _own_characters() -> frozenset[str]:
    return _characters(findfont(FAMILY))


@cache
def _machine_fonts() -> tuple[tuple[str, FontPath], ...]:
    """Return the name and the file of each upright family that may be drawn, in the order in which they are tried."""
    entries: dict[str, FontEntry] = {}
    for entry in fontManager.ttflist:
        if entry.style != "normal" or entry.name == FAMILY or entry.name.startswith(PLACEHOLDERS):
            continue
        if entry.name not in entries or _strangeness(entry) < _strangeness(entries[entry.name]):
            entries[entry.name] = entry
    return tuple((name, FontPath(entries[name].fname, entries[name].index)) for name in sorted(entries, key=_turn))


def _turn(family: str) -> tuple[int, str]:
    if family in PREFERRED:
        return PREFERRED.index(family), family
    return len(PREFERRED) + family.startswith(LAST), family


def _strangeness(entry: FontEntry) -> int:
    """Return how far a font's weight is from that of a text."""
    return abs(entry.weight - 400) if isinstance(entry.weight, int) else 0


@cache
def _characters(path: FontPath) -> frozenset[str]:
    """Return the characters of a font. A font of bitmaps or colours has none that can be drawn."""
    try:
        font = FT2Font(path.path, face_index=path.face_index)
    except (OSError, RuntimeError):
        return frozenset()
    if FaceFlags.COLOR in font.face_flags or FaceFlags.SCALABLE not in font.face_flags:
        return frozenset()
    return frozenset(map(chr, font.get_charmap()))
