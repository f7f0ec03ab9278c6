"""`python -m tests.torture.damaged_images`: damage valid images of eight formats and load them as a user's folder.

Each damaged file must be read, or the folder must be refused with the file's name. Any other exception, a crash, a
hang, and any output of the image library is a failure. A bit flip may leave a valid image, which is no failure.
"""

import io
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from worker.datasets import DatasetUnavailable, load
from worker.datasets.quiet_pillow import quiet_pillow
from worker.datasets.read_image import UnreadableImage, read_image

COUNT = 1_067 + 6_000
BATCH = 20  # damaged images in one folder: as many as one message names
TIMEOUT_SECONDS = 120.0  # of a batch, which takes less than a second
SIZE = 24


def main() -> None:
    """Damage and load the images, print the result in one line, and exit with 1 if anything is wrong."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began, tally, peaks = time.monotonic(), Counter(), []
    batches = [(arguments.seed, first) for first in range(0, arguments.count, BATCH)]
    with (
        ProgressLines("damaged images", len(batches), "batches") as progress,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        for batch, future in [(batch, pool.submit(load_damaged, *batch)) for batch in batches]:
            try:
                counted, peak = future.result(TIMEOUT_SECONDS)
            except (BrokenProcessPool, TimeoutError) as error:
                print(f"{type(error).__name__} in the images from {batch[1]} of seed {batch[0]}")
                sys.exit(1)
            tally.update(counted)
            progress.done += 1
            peaks.append(peak)
    wrong = sum(number for name, number in tally.items() if name not in ("read", "named"))
    print(
        f"damaged_images: {len(batches) * BATCH} damaged images in 8 formats: {tally['read']} still valid, "
        f"{tally['named']} refused by name, {tally['unnamed']} refused without their name, {tally['raised']} other "
        f"exceptions, {tally['printed']} batches with output, 0 crashes or hangs, at most {max(peaks):.0f} MB, "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    sys.exit(wrong > 0)


def load_damaged(seed, first):
    """Load a folder of damaged images. Return how many were read, named, unnamed, and so on, and the memory in MB."""
    tally, rng = Counter(), np.random.default_rng([seed, first])
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        valid = valid_images()
        for number in range(BATCH):
            suffix, content = valid[(first + number) % len(valid)]
            path = data_dir / f"photos/train/{'cat' if number % 2 else 'dog'}/{first + number}{suffix}"
            _write(path, damaged(content, rng))
        for name in ("train/cat/valid", "train/dog/valid", "test/cat/1", "test/dog/1"):
            _write(data_dir / f"photos/{name}.png", valid[0][1])
        with _captured_stderr() as printed:
            message = _refusal(data_dir, tally)
        tally["printed"] += any(printed)
        _count(data_dir, message, tally)
    return tally, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _refusal(data_dir, tally):
    """Return the message with which the folder is refused, or "" if it is not."""
    try:
        load("folder", data_dir=data_dir, folder="photos", image_size=16, train_size=None, test_size=None)
    except DatasetUnavailable as refusal:
        return str(refusal)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        tally["raised"] += 1
    return ""


def _count(data_dir, message, tally):
    """Count for each damaged image whether it is read, and whether the folder's message names it if not."""
    for path in data_dir.glob("photos/train/*/[0-9]*"):
        try:
            with quiet_pillow():
                read_image(path, 16, "#ffffff")
        except UnreadableImage:
            shown = path.relative_to(data_dir).as_posix()
            tally["named" if f"{shown} cannot be read" in message or f"{shown} has " in message else "unnamed"] += 1
        else:
            tally["read"] += 1


def damaged(content, rng):
    """Return the bytes with flipped bits, cut short, or with a run of zeros, of random bytes or of repeated ones."""
    bytes_ = bytearray(content)
    start = int(rng.integers(len(bytes_)))
    length = int(rng.integers(1, 64))
    match int(rng.integers(5)):
        case 0:
            for index in rng.integers(len(bytes_), size=int(rng.integers(1, 9))):
                bytes_[index] ^= 1 << int(rng.integers(8))
        case 1:
            del bytes_[start:]
        case 2:
            bytes_[start : start + length] = bytes(len(bytes_[start : start + length]))
        case 3:
            bytes_[start : start + length] = rng.bytes(len(bytes_[start : start + length]))
        case 4:
            bytes_[start:start] = bytes_[start : start + length]
    return bytes(bytes_)


def valid_images():
    """Return the suffix and the bytes of a small valid image of each format, and of its further depths and modes."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65_536, (SIZE, SIZE), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        (".png", _bytes(colour, "PNG")), (".png", _bytes(deep, "PNG")), (".png", _bytes(colour.convert("RGBA"), "PNG")),
        (".jpg", _bytes(colour, "JPEG", exif=exif)), (".jpg", _bytes(colour.convert("CMYK"), "JPEG")),
        (".tif", _bytes(colour, "TIFF", exif=exif)), (".tif", _bytes(colour, "TIFF", compression="tiff_lzw")),
        (".tif", _bytes(deep, "TIFF")), (".webp", _bytes(colour, "WEBP")), (".bmp", _bytes(colour, "BMP")),
        (".gif", _bytes(colour, "GIF", transparency=0)), (".ppm", _bytes(colour, "PPM")),
        (".tga", _bytes(colour, "TGA")),
    ]  # fmt: skip


def _bytes(image, image_format, **options):
    content = io.BytesIO()
    image.save(content, image_format, **options)
    return content.getvalue()


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@contextmanager
def _captured_stderr():
    """Yield a list that has, afterwards, what this process and its C libraries have printed as errors."""
    printed = []
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield printed
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
            file.seek(0)
            printed.append(file.read())


if __name__ == "__main__":
    main()
