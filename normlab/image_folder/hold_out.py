"""Hold out test images where a folder has no `test` of its own."""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path


def hold_out(images: Sequence[Path], folder: Path, fraction: float) -> tuple[list[Path], list[Path]]:
    """Return the training and the test images of one class, each in the given order.

    The images are ranked by the SHA-256 of their paths, and the first round(fraction · n) of them are test images, at
    least 1 and at most n − 1. So the same names are split alike on every machine, and one more image moves at most one
    other.

    images: of one class, at least two. folder: what the hashed paths are relative to.
    """
    count = min(max(1, round(fraction * len(images))), len(images) - 1)
    test = set(sorted(images, key=lambda image: _digest(image.relative_to(folder)))[:count])
    return [image for image in images if image not in test], [image for image in images if image in test]


def _digest(path: Path) -> bytes:
    name = unicodedata.normalize("NFC", path.as_posix())  # so that a copy on macOS is split alike
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
