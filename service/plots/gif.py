"""Frames as a GIF. All share one palette of the figures' own colours, so that nothing flickers."""

import io
from collections.abc import Iterable

from matplotlib.colors import to_rgb
from PIL import Image

from service.plots.style import BAND, FAINT, INK, LINEAR_PART, VALUES, ZEROS

FRAME_MILLISECONDS, LAST_FRAME_MILLISECONDS = 120, 2000
RAMPS = (
    ("white", INK, 20), ("white", FAINT, 12), ("white", VALUES, 32), ("white", ZEROS, 12), (VALUES, ZEROS, 4),
    ("white", BAND, 2), (BAND, LINEAR_PART, 3),
)  # fmt: skip


def gif(frames: Iterable[Image.Image]) -> bytes:
    """Return an endless GIF of RGB images of one size. The last frame stays for two seconds."""
    palette = Image.new("P", (1, 1))
    palette.putpalette([level for colour in _colours() for level in colour])
    # Without dithering, which would turn the antialiased edges into noise.
    first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    out = io.BytesIO()
    first.save(
        out,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=[FRAME_MILLISECONDS] * len(rest) + [LAST_FRAME_MILLISECONDS],
        loop=0,
        optimize=False,
    )
    return out.getvalue()


def _colours() -> Iterable[tuple[int, int, int]]:
    """Yield the figures' colours and the mixtures of two of them that antialiasing draws."""
    for first, last, steps in RAMPS:
        pairs = tuple(zip(to_rgb(first), to_rgb(last), strict=True))
        for step in range(steps):
            red, green, blue = (round(255 * (a + (b - a) * step / (steps - 1))) for a, b in pairs)
            yield red, green, blue
