"""Box-Cox: a power transform of what ReLU lets through, with one learned exponent λ for the layer."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.exprel import exponential, exprel, exprel_derivative
from normcore.layers.layer import Gradients


class Cache(NamedTuple):
    """What backward needs: u = log(1 + x), of x's shape."""

    u: Tensor


@dataclass(frozen=True)
class BoxCox:
    """Raise 1 + x, x ≥ 0, to a learned power λ.

    Forward:  out = ((1 + x)^λ − 1) / (λ + denominator_eps). Computed as u · exprel(z) · λ/(λ + denominator_eps), with
    u = log(1 + x), z = λu and exprel(z) = (e^z − 1)/z, so that λ = 0 has its limit log(1 + x) and no 0/0.
    Backward: dx = dout · (1 + x)^(λ−1); dλ = Σ dout · u² · exprel′(z), exprel′(z) = (z·e^z − e^z + 1)/z².
    With denominator_eps = δ, dx and the sum of dλ are multiplied by λ/(λ + δ), and dλ also has the term
    Σ dout · u · exprel(z) · δ/(λ + δ)² of the quotient rule.

    Args:
        lam: λ, a scalar; 2 at the start in the study.
        denominator_eps: δ: 1e-8 in the 2018 notebook, or 0.
        lambda_gradient: "sum" for the gradient; "mean" divides it by the number of elements, as the 2018 notebook did.

    >>> layer = BoxCox(torch.tensor(2.0))
    >>> out, cache = layer.forward(torch.tensor([0.0, 1.0]))
    >>> [round(value, 4) for value in out.tolist()]
    [0.0, 1.5]

    Shapes: x, out, dout and dx have the same shape, which is any.
    Source: Box, Cox 1964, J. R. Stat. Soc. B 26(2), 211–252; scipy.special.boxcox1p is the same function.
    """

    lam: Tensor
    denominator_eps: float = 0.0
    lambda_gradient: Literal["sum", "mean"] = "sum"

    def forward(self, x: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Cache]:
        """Return the output and the cache for backward."""
        cache = Cache(torch.log1p(x))
        return self.recompute_output(cache), cache

    def backward(self, dout: Float[Tensor, "*shape"], cache: Cache) -> tuple[Float[Tensor, "*shape"], Gradients]:
        """Return dx and {"lam": dλ}, of λ's shape."""
        (u,) = cache
        ratio = self._ratio()
        power, factor = exponential((self.lam - 1) * u)
        dx = dout * power * ratio * factor
        derivative, factor = exprel_derivative(self.lam * u)
        slope = u * u * derivative * ratio
        if self.denominator_eps:
            # exprel has the same factor, because it is a function of the same z.
            transform = u * exprel(self.lam * u)[0]
            slope = slope + transform * self.denominator_eps / (self.lam + self.denominator_eps) ** 2
        dlam = (dout * slope * factor).sum_to_size(self.lam.shape)
        if self.lambda_gradient == "mean":
            dlam = dlam / (dout.numel() // self.lam.numel())
        return dx, {"lam": dlam}

    def recompute_output(self, cache: Cache) -> Tensor:
        """Return the output of forward."""
        quotient, factor = exprel(self.lam * cache.u)
        return cache.u * quotient * self._ratio() * factor

    def parameters(self) -> dict[str, Tensor]:
        """Return λ, a scalar."""
        return {"lam": self.lam}

    def _ratio(self) -> Tensor:
        """Return λ/(λ + denominator_eps); 1 without denominator_eps, at λ = 0 too."""
        if not self.denominator_eps:
            return torch.ones_like(self.lam)
        return self.lam / (self.lam + self.denominator_eps)
