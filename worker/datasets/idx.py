"""Files in IDX, the format of MNIST and its relatives, as they are or gzipped.

Layout: two zero bytes, the type (8 = uint8), the number of axes, then each axis' length as a big-endian uint32, then
the values, the last axis fastest. Source: LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist/.
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
    """A file is not what its name says; the message names it."""


def read(path: Path, axes: int) -> Tensor:
    """The array of uint8 in an IDX file; gzipped where the name ends in .gz.

    Raises: IdxError, naming the file if it is cut short, is not IDX, or has another number of axes.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IdxError(f"{path} is not a whole gzip file: {error}") from error
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, UINT8, axes]):
        raise IdxError(f"{path} begins with {content[:4].hex()}: expected an IDX file of {axes} axes of uint8")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    if len(content) != start + math.prod(shape):
        raise IdxError(f"{path} holds {len(content) - start:,} values; its header promises {math.prod(shape):,}")
    return torch.from_numpy(np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(shape))
