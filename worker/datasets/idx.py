"""Read IDX files, the format of MNIST and of data sets like it, gzipped or not.

Layout: two zero bytes, the type (8 = uint8), the number of axes, the length of each axis as a big-endian uint32, and
the values in C order. Source: LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

UINT8 = 8


class IdxError(ValueError):
    """A file is broken or of another kind. The message names it."""


def read(path: Path, axes: int) -> Tensor:
    """Return the uint8 array of an IDX file. A file whose name ends in .gz is unzipped first.

    Raises: IdxError if the file is incomplete, is not an IDX file, or has another number of axes.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IdxError(f"{path} is not a complete gzip file: {error}") from error
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, UINT8, axes]):
        begin = content[:4].hex()
        raise IdxError(f"{path}: expected an IDX file of {axes} axes of uint8, got a file that begins with {begin}")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    if len(content) != start + math.prod(shape):
        raise IdxError(f"{path}: expected {math.prod(shape):,} values by its header, got {len(content) - start:,}")
    return torch.from_numpy(np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(shape))
