"""Yeo-Johnson: Box-Cox's power transform extended to negative values, with one learned exponent λ for each channel."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.exprel import exponential, exprel, exprel_derivative
from normcore.layers.layer import Gradients

CHANNEL = (-4, -2, -1)  # the axes N, H, W: all values of one channel


class Cache(NamedTuple):
    """What backward needs: u = log(1 + |x|), and where x < 0. Both are N C H W."""

    u: Tensor
    negative: Tensor


@dataclass(frozen=True)
class YeoJohnson:
    """Raise 1 + |x| to a learned power, λ for positive and 2 − λ for negative values.

    Forward:  out = ((1 + x)^λ − 1)/λ where x ≥ 0, else −((1 − x)^(2−λ) − 1)/(2 − λ). Computed as ±u · exprel(z), with
    u = log(1 + |x|), z = μu, μ = λ where x ≥ 0, else 2 − λ, and exprel(z) = (e^z − 1)/z, so that λ = 0 and λ = 2 have
    their limits and no 0/0.
    Backward: dx = dout · e^((μ−1)u); dλ = Σ dout · u² · exprel′(z), exprel′(z) = (z·e^z − e^z + 1)/z², over N, H, W.
    The formula of dλ is the same for negative x: the signs of out and of dμ/dλ both change there.

    Args:
        lam: λ of each channel, 1 C 1 1; at 1 the transform is the identity.

    Shapes: x, out, dout and dx are N C H W.
    Source: Yeo, Johnson 2000, Biometrika 87(4), 954–959; scipy.stats.yeojohnson is the same function.
    """

    lam: Tensor

    def forward(self, x: Float[Tensor, "*S N C H W"]) -> tuple[Float[Tensor, "*S N C H W"], Cache]:
        """Return the output and the cache for backward."""
        negative = x < 0
        cache = Cache(torch.log1p(torch.where(negative, -x, x)), negative)
        quotient, factor = exprel(self._exponent(cache) * cache.u)
        size = cache.u * quotient * factor
        return torch.where(cache.negative, -size, size), cache

    def backward(
        self, dout: Float[Tensor, "*S N C H W"], cache: Cache
    ) -> tuple[Float[Tensor, "*S N C H W"], Gradients]:
        """Return dx and {"lam": dλ}, 1 C 1 1."""
        u, exponent = cache.u, self._exponent(cache)
        power, factor = exponential((exponent - 1) * u)
        dx = dout * power * factor
        derivative, factor = exprel_derivative(exponent * u)
        return dx, {"lam": (dout * u * u * derivative * factor).sum(CHANNEL, keepdim=True)}

    def parameters(self) -> dict[str, Tensor]:
        """Return λ, 1 C 1 1."""
        return {"lam": self.lam}

    def _exponent(self, cache: Cache) -> Tensor:
        """Return μ, N C H W."""
        return torch.where(cache.negative, 2 - self.lam, self.lam)
