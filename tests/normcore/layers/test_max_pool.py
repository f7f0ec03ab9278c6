"""Max pooling's backward pass for overlapping windows on CUDA, which adds in an order of our own."""

import pytest
import torch

from normcore.layers.pools import MaxPool


class TestInputGradientInOrder:
    @pytest.mark.parametrize(("size", "stride"), [(2, 1), (3, 1), (3, 2), (5, 2), (4, 3), (2, 2)])
    @pytest.mark.parametrize("shape", [(2, 3, 9, 7), (1, 1, 5, 5), (3, 2, 12, 6)])
    @pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
    def test_equals_torchs_operator(self, size, stride, shape, ties):
        """The backward pass for overlapping windows on CUDA equals torch's operator."""
        generator = torch.Generator().manual_seed(size * 10 + stride)
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        pool = MaxPool(size, stride)
        out, cache = pool.forward(x.round() if ties else x)
        dout = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        wanted, _ = pool.backward(dout, cache)
        torch.testing.assert_close(pool._input_gradient_in_order(dout, cache), wanted, rtol=0, atol=1e-14)
