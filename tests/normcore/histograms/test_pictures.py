"""The statistics and the 50-bin pictures of generated tensors, as stored, compared with numpy's."""

import numpy as np
import pytest

from benchmarks import pictures


class TestPictures:
    @pytest.mark.parametrize("kind", pictures.KINDS)
    def test_values_are_in_their_bins(self, kind):
        """Of values about 0 at most 1 % are in a wrong one of 50 linear bins, and their deviation is exact to 1e-12."""
        rng = np.random.default_rng(list(pictures.KINDS).index(kind))
        for size, tensors in ((100, 40), (300, 20), (1_000, 20), (3_000, 20), (10_000, 5), (30_000, 2), (300_000, 1)):
            for _ in range(tensors):
                measured = pictures.measure(pictures.scaled(rng, pictures.KINDS[kind](rng, size)))
                assert measured.std_error < 1e-12
                assert measured.wrong_bin < 0.01

    def test_stored_bytes_are_limited(self):
        """The finer bins of a training's usual tensors take at most 2.5 times the bytes of five mantissa bits."""
        rng = np.random.default_rng(1)
        for size in (432, 2_304, 18_432, 73_728, 1_000_000):
            values = rng.laplace(size=size).astype(np.float32)
            measured = pictures.measure(np.where(rng.random(size) < 0.1, 0, values).astype(np.float32))
            assert measured.stored_bytes < 2.5 * measured.bytes_at_five_bits
