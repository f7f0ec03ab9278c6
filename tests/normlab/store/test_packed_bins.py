"""Packed bins: what is packed is what is unpacked, and other bytes are refused."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normlab.store.histogram_bins import MIN_BITS, BinLayout
from normlab.store.packed_bins import VERSION, pack, unpack
from tests.factories import histogram_of

rng = np.random.default_rng(5)


class TestPack:
    @given(st.lists(st.floats(width=32), max_size=200))
    def test_keeps_everything(self, values):
        """Unpacked bins are those that were packed."""
        histogram = histogram_of(values)
        layout, patterns, counts = unpack(histogram.to_bytes())
        assert layout == histogram.layout
        assert (patterns.dtype, counts.dtype) == (np.uint32, np.int64)
        assert patterns.tolist() == histogram.patterns.tolist()
        assert counts.tolist() == histogram.counts.tolist()

    @pytest.mark.parametrize("top_bits", [MIN_BITS, 8, 23])
    @pytest.mark.parametrize("top_exponent", [0, 1, 128, 254])
    def test_keeps_every_bin_of_a_layout(self, top_exponent, top_bits):
        """The first and the last bin of each octave are packed and unpacked, with the largest count."""
        octaves = np.concatenate([np.arange(top_exponent + 1), 256 + np.arange(top_exponent + 1)]) << 23
        last = 0x7FFFFF & ~((1 << (23 - MIN_BITS)) - 1)
        patterns = np.sort(np.concatenate([octaves, octaves + last])).astype(np.uint32)
        counts = np.full(len(patterns), 2**40)
        layout = BinLayout(top_exponent, top_bits)
        unpacked = unpack(pack(layout, patterns, counts))
        assert unpacked[0] == layout
        np.testing.assert_array_equal(unpacked[1], patterns)
        np.testing.assert_array_equal(unpacked[2], counts)


class TestUnpack:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"not zlib",
            zlib.compress(b"12345"),
            bytes([VERSION, 127, 8, 1, 1]) + b"not zlib",
            bytes([VERSION, 127, 8, 1, 1]) + zlib.compress(b"12345"),
            bytes([VERSION, 127, 8, 0, 0]) + zlib.compress(b""),
            bytes([VERSION, 127, 24, 1, 1]) + zlib.compress(b""),
            bytes([VERSION + 1, 127, 8, 1, 1]) + zlib.compress(b""),
        ],
    )
    def test_other_bytes_are_refused(self, content):
        """Bytes that are no packed histogram, or of another version, raise ValueError."""
        with pytest.raises(ValueError, match="packed histogram"):
            unpack(content)
