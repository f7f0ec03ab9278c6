"""Yeo-Johnson: Box-Cox's power transform continued to negative values, one trainable exponent λ a channel."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.layers.exprel import exprel, exprel_derivative
from normcore.layers.layer import Gradients

EVERY_MAP = (0, 2, 3)  # the axes N, H, W of an N C H W tensor


class Cache(NamedTuple):
    """u: log(1 + |x|); negative: where x < 0. Both N C H W."""

    u: Tensor
    negative: Tensor


@dataclass(frozen=True)
class YeoJohnson:
    """out = ((1 + x)^λ − 1)/λ for x ≥ 0 and −((1 − x)^(2−λ) − 1)/(2 − λ) for x < 0; at λ = 0 and 2 their limits.

    With u = log(1 + |x|) and μ = λ where x ≥ 0, 2 − λ where x < 0: out = ±u · (e^z − 1)/z at z = μu.
    Backward: dx = dout · e^((μ−1)u); dλ = Σ dout · u² · (z·e^z − e^z + 1)/z² over N, H, W, on either side of 0, since
    both the sign of out and that of dμ/dλ turn there.

    Shapes: x, out, dout, dx are N C H W, lam is 1 C 1 1. Source: Yeo, Johnson 2000, Biometrika 87(4), 954–959;
    scipy.stats.yeojohnson is the same function.
    """

    lam: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and u and the sign for backward."""
        negative = x < 0
        cache = Cache(torch.log1p(torch.where(negative, -x, x)), negative)
        size = cache.u * exprel(self._exponent(cache) * cache.u)
        return torch.where(cache.negative, -size, size), cache

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return self.forward(x)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and {"lam": dλ}, 1 C 1 1."""
        u, exponent = cache.u, self._exponent(cache)
        dx = dout * torch.exp((exponent - 1) * u)
        return dx, {"lam": (dout * u * u * exprel_derivative(exponent * u)).sum(EVERY_MAP, keepdim=True)}

    def parameters(self) -> dict[str, Tensor]:
        """λ, 1 C 1 1."""
        return {"lam": self.lam}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def _exponent(self, cache: Cache) -> Tensor:
        return torch.where(cache.negative, 2 - self.lam, self.lam)
