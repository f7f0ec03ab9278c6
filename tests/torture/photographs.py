"""Photographs as a researcher has them: 300 of three classes, of every depth, mode, orientation and name."""

import io

import numpy as np
from PIL import ExifTags, Image

CLASSES = ("cats", "dogs", "owls")
PER_CLASS = 100
DAMAGED = "dogs/IMG_0042.jpg"
HEIGHT, WIDTH = 360, 480


def write_photographs(folder):
    """Write 300 photographs below folder/CLASS, one of them damaged, and the hidden files of three systems."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        for number in range(PER_CLASS):
            photo = _photo(rng, label)
            suffix, content = KINDS[number % len(KINDS)](photo)
            _write(folder / name / f"IMG_{number:04}{suffix}", content)
        _write(folder / name / ".DS_Store", b"\0\0\0\1Bud1")
        _write(folder / name / "._IMG_0000.jpg", b"\0\5\26\7")
        _write(folder / name / "Thumbs.db", b"\xd0\xcf\x11\xe0")
    _write(folder / ".ipynb_checkpoints/IMG_0000-checkpoint.jpg", b"")
    _write(folder / "__MACOSX/cats/._IMG_0000.jpg", b"\0\5\26\7")
    damaged = folder / DAMAGED
    damaged.write_bytes(damaged.read_bytes()[:3_000])


def _photo(rng, label):
    """Return an image, H W 3 uint8: a colour gradient whose direction shows its class, with noise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    slope = (x / WIDTH, y / HEIGHT, (x / WIDTH + y / HEIGHT) / 2)[label]
    colours = slope[..., None] * rng.uniform(120, 200, 3) + rng.uniform(0, 40, 3)
    return np.clip(colours + rng.normal(0, 4, colours.shape), 0, 255).astype(np.uint8)


def _colour(suffix, **options):
    return lambda photo: (suffix, _bytes(Image.fromarray(photo), suffix, **options))


def _turned(photo):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return ".jpg", _bytes(Image.fromarray(photo).transpose(Image.Transpose.ROTATE_90), ".jpg", exif=exif)


def _transparent(photo):
    image = Image.fromarray(photo)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return ".png", _bytes(image, ".png")


def _grey(photo):
    return ".jpg", _bytes(Image.fromarray(photo).convert("L"), ".jpg")


def _deep(photo):
    return ".png", _bytes(Image.fromarray(photo.mean(2).astype(np.uint16) * 257), ".png")


def _cmyk(photo):
    return ".jpg", _bytes(Image.fromarray(photo).convert("CMYK"), ".jpg")


def _palette(photo):
    return ".gif", _bytes(Image.fromarray(photo).quantize(64), ".gif")


KINDS = (
    _colour(".jpg"), _colour(".JPG"), _turned, _grey, _transparent, _deep, _cmyk, _palette, _colour(".webp"),
    _colour(".TIF", compression="tiff_lzw"),
)  # fmt: skip


def _bytes(image, suffix, **options):
    content = io.BytesIO()
    image.save(content, Image.registered_extensions()[suffix.lower()], **options)
    return content.getvalue()


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
