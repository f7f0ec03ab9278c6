"""Read an image file as the square of 8-bit RGB that the network takes, whatever its format and depth.

The steps: turn it by its EXIF orientation; cut out the middle square; scale deeper values to 8 bits; lay transparency
on a background; resize the square (bilinear, antialiased). Pillow computes them in integers, so the same file gives the
same bytes on every machine.
"""

from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

# Not Pillow's other formats: some run programs (EPS), and some have no mark by which they are recognized.
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "PPM")
TARGA = (".tga", ("TGA",))  # has no mark either: any bytes might be read as one, so its name decides
TURNS = {  # EXIF's orientation, and what shows the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DRAFT = 4  # a JPEG is decoded at 1/8, 1/4 or 1/2 of its size if that is still so many times too large
MAX_16_BITS = 65_535


class UnreadableImage(Exception):
    """An image file cannot be used. The message continues a sentence that its path begins."""


def read_image(path: Path, image_size: int, background: str) -> Tensor:
    """Return the image, 3 image_size image_size uint8.

    background: the colour under transparent pixels, as #rrggbb.

    Raises: UnreadableImage for everything that is wrong with the file.
    """
    try:
        with path.open("rb") as file:
            square = _middle_square(_open(file, path), image_size)
        resized = _on_background(_to_8_bits(square), background).resize(
            (image_size, image_size), Image.Resampling.BILINEAR
        )
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1)
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:  # its own message names the file by its absolute path
        raise UnreadableImage("cannot be read as an image: it is of another format, or damaged at its start") from error
    except Exception as error:  # Pillow's decoders raise errors of many types for damaged bytes
        raise UnreadableImage(f"cannot be read as an image: {_reason(error)}") from error


def _open(file: IO[bytes], path: Path) -> Image.Image:
    formats = TARGA[1] if path.suffix.lower() == TARGA[0] else FORMATS
    with Image.open(file, formats=formats) as image:
        if image.format == "PNG":
            image.verify()  # the checksums, which loading does not compare
    file.seek(0)
    image = Image.open(file, formats=formats)
    # The further images of an MPO, the JPEG of many cameras, are previews.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnreadableImage("has more than one image in it: save one of them as a file of its own")
    return image


def _middle_square(image: Image.Image, image_size: int) -> Image.Image:
    """Return the middle square of the upright image. It is cut out before anything else needs memory for the image."""
    image.draft(None, (DRAFT * image_size, DRAFT * image_size))
    image.load()
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    upright = image if turn is None else image.transpose(turn)
    side = min(upright.size)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    return upright.crop((left, top, left + side, top + side))


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return a grey image of 16 bits or of floats at 8 bits. Pillow itself would clip its values at 255."""
    if image.mode == "F":
        return Image.fromarray(np.rint(_values(image, 0.0, 1.0) * 255).astype(np.uint8))
    if not image.mode.startswith("I"):
        return image
    values = _values(image, 0, MAX_16_BITS).astype(np.uint32)
    grey = Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65535 is 255 · 257
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _values(image: Image.Image, lowest: float, highest: float) -> np.ndarray:
    values = np.asarray(image)
    if not (lowest <= values.min() and values.max() <= highest):  # written so that NaN is refused too
        raise UnreadableImage(
            f"has grey values from {values.min():g} to {values.max():g}, expected {lowest:g} to {highest:g}: scale them"
        )
    return values


def _on_background(image: Image.Image, background: str) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    canvas = Image.new("RGBA", image.size, background)
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("RGB")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().rstrip(".")
