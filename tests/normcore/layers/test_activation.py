"""Activations where a formula could overflow, cancel or hide: huge, tiny and missing numbers."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from normcore import Activation
from normcore.layers.activation import Function

THEIRS = {"leaky_relu": F.leaky_relu, "elu": F.elu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh}
SIZES = torch.logspace(-30, 30, 121)
EVERYWHERE = torch.cat([-SIZES.flip(0), torch.zeros(1), SIZES])


class TestActivation:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("function", get_args(Function))
    def test_values_and_derivatives_equal_torchs(self, function, dtype):
        """Values and derivatives from 1e-30 to 1e30 are finite and equal torch's."""
        x = EVERYWHERE.to(dtype)
        leaf = x.clone().requires_grad_()
        theirs = THEIRS[function](leaf)
        theirs.backward(torch.ones_like(x))

        out, cache = Activation(function).forward(x)
        dx, _ = Activation(function).backward(torch.ones_like(x), cache)

        limit = 1e-6 if dtype == torch.float32 else 1e-13
        torch.testing.assert_close(out, theirs.detach(), rtol=limit, atol=limit)
        torch.testing.assert_close(dx, leaf.grad, rtol=limit, atol=limit)

    @pytest.mark.parametrize("function", get_args(Function))
    def test_nan_is_passed_on(self, function):
        """A NaN passes through in both directions."""
        x = torch.tensor([torch.nan, 1.0])
        out, cache = Activation(function).forward(x)
        dx, _ = Activation(function).backward(torch.tensor([1.0, torch.nan]), cache)
        assert out[0].isnan()
        assert dx[1].isnan()
