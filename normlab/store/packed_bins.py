"""The bins of a histogram as bytes.

The first bytes are the version of this format, the layout's top exponent and its top bits. The rest is compressed by
zlib: of each bin that is not empty the gap from the bin before, in the numbering of the layout's bins, then the counts.
Both are 32-bit integers whose lowest bytes come first, then the second ones and so on. Bytes of equal rank resemble
each other, so they compress better side by side.
"""

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from normlab.store.histogram_bins import MAX_BITS, MIN_BITS, BinLayout, Counts, Patterns, dropped_bits

VERSION = 1
HEADER = 3  # bytes
MANTISSA = np.uint32(0x7FFFFF)


def pack(layout: BinLayout, patterns: Patterns, counts: Counts) -> bytes:
    """Return bins as bytes. patterns: ascending. counts: each less than 2³²."""
    gaps = np.diff(_numbers(layout, patterns), prepend=0)
    body = _planes(gaps) + _planes(counts)
    return bytes([VERSION, layout.top_exponent, layout.top_bits]) + zlib.compress(body, 6)


def unpack(packed: bytes) -> tuple[BinLayout, Patterns, Counts]:
    """Return the layout, the patterns and the counts of packed bins. Raises ValueError for other bytes."""
    if len(packed) < HEADER or packed[0] != VERSION or not MIN_BITS <= packed[2] <= MAX_BITS:
        raise ValueError(f"not a packed histogram of version {VERSION}: it begins with {packed[:HEADER]!r}")
    try:
        body = zlib.decompress(packed[HEADER:])
    except zlib.error as error:
        raise ValueError(f"not a packed histogram: {error}") from error
    if len(body) % 8:
        raise ValueError(f"a packed histogram has 8 bytes for each bin, not {len(body)} bytes in all")
    layout = BinLayout(packed[1], packed[2])
    gaps, counts = np.split(np.frombuffer(body, np.uint8), 2)
    return layout, _patterns(layout, np.cumsum(_integers(gaps))), _integers(counts)


def _numbers(layout: BinLayout, patterns: Patterns) -> NDArray[np.int64]:
    """Return the numbers of bins: all bins of a layout are numbered without gaps, those of negative values last."""
    octaves = patterns >> 23
    inside = (patterns & MANTISSA) >> dropped_bits(layout)[octaves]
    numbers: NDArray[np.int64] = _first_numbers(layout)[octaves] + inside
    return numbers


def _patterns(layout: BinLayout, numbers: NDArray[np.int64]) -> Patterns:
    first = _first_numbers(layout)
    octaves = np.searchsorted(first, numbers, side="right") - 1
    return ((octaves << 23) + (numbers - first[octaves] << dropped_bits(layout)[octaves])).astype(np.uint32)


@lru_cache(maxsize=256)
def _first_numbers(layout: BinLayout) -> NDArray[np.int64]:
    """Return the number of the first bin of each of the 512 octaves."""
    bins = 1 << (MAX_BITS - dropped_bits(layout).astype(np.int64))
    first: NDArray[np.int64] = np.cumsum(bins) - bins
    return first


def _planes(integers: NDArray[np.int64]) -> bytes:
    return integers.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes()


def _integers(planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    return planes.reshape(4, -1).T.copy().view("<u4").ravel().astype(np.int64)
