"""The bins of a histogram as bytes.

The first five bytes are the version of this format, the layout's top exponent and its top bits, and how many bytes each
gap and each count has. The rest is compressed by zlib: of each bin that is not empty the gap from the bin before, in
the numbering of the layout's bins, then the counts. The lowest bytes of all gaps come first, then the second ones and
so on. Bytes of equal rank resemble each other, so they compress better side by side.
"""

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from normlab.store.histogram_bins import MAX_BITS, MIN_BITS, BinLayout, Counts, Patterns, dropped_bits

VERSION = 1
HEADER = 5  # bytes
MANTISSA = np.uint32(0x7FFFFF)


def pack(layout: BinLayout, patterns: Patterns, counts: Counts) -> bytes:
    """Return bins as bytes. patterns: ascending."""
    gaps = np.diff(_numbers(layout, patterns), prepend=0)
    gap_size, count_size = _size(gaps), _size(counts)
    # Counts repeat themselves next to each other or not at all. To search for longer repetitions takes four times as
    # long, and the result is larger.
    compressor = zlib.compressobj(strategy=zlib.Z_RLE)
    body = compressor.compress(_planes(gaps, gap_size) + _planes(counts, count_size)) + compressor.flush()
    return bytes([VERSION, layout.top_exponent, layout.top_bits, gap_size, count_size]) + body


def unpack(packed: bytes) -> tuple[BinLayout, Patterns, Counts]:
    """Return the layout, the patterns and the counts of packed bins. Raises ValueError for other bytes."""
    if len(packed) < HEADER or packed[0] != VERSION or not MIN_BITS <= packed[2] <= MAX_BITS:
        raise ValueError(f"not a packed histogram of version {VERSION}: it begins with {packed[:HEADER]!r}")
    layout, gap_size, count_size = BinLayout(packed[1], packed[2]), packed[3], packed[4]
    try:
        body = np.frombuffer(zlib.decompress(packed[HEADER:]), np.uint8)
        planes = body.reshape(gap_size + count_size, -1)
    except (zlib.error, ValueError) as error:
        raise ValueError(f"not a packed histogram: {error}") from error
    return layout, _patterns(layout, np.cumsum(_integers(planes[:gap_size]))), _integers(planes[gap_size:])


def _numbers(layout: BinLayout, patterns: Patterns) -> NDArray[np.int64]:
    """Return the numbers of bins: all bins of a layout are numbered without gaps, those of negative values last."""
    octaves = patterns >> 23
    inside = (patterns & MANTISSA) >> dropped_bits(layout)[octaves]
    numbers: NDArray[np.int64] = _first_numbers(layout)[octaves] + inside
    return numbers


def _patterns(layout: BinLayout, numbers: NDArray[np.int64]) -> Patterns:
    first = _first_numbers(layout)
    octaves = np.repeat(np.arange(512), np.diff(np.searchsorted(numbers, first), append=len(numbers)))
    return ((octaves << 23) + (numbers - first[octaves] << dropped_bits(layout)[octaves])).astype(np.uint32)


@lru_cache(maxsize=256)
def _first_numbers(layout: BinLayout) -> NDArray[np.int64]:
    """Return the number of the first bin of each of the 512 octaves."""
    bins = 1 << (MAX_BITS - dropped_bits(layout).astype(np.int64))
    first: NDArray[np.int64] = np.cumsum(bins) - bins
    return first


def _size(integers: NDArray[np.int64]) -> int:
    """Return how many bytes the largest of these integers has, one at least."""
    return max(1, (int(integers.max(initial=0)).bit_length() + 7) // 8)


def _planes(integers: NDArray[np.int64], size: int) -> bytes:
    """Return the bytes of integers, those of equal rank side by side, the lowest first."""
    return integers.astype("<i8").view(np.uint8).reshape(-1, 8).T[:size].tobytes()


def _integers(planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the integers whose bytes are planes, of shape (size, integers)."""
    integers: NDArray[np.int64] = planes[0].astype(np.int64)
    for rank in range(1, len(planes)):
        integers += planes[rank].astype(np.int64) << 8 * rank
    return integers
