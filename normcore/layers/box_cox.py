"""Box-Cox: a power transform of what ReLU lets through, with one trainable exponent λ for the layer."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from normcore.layers.exprel import exprel, exprel_derivative
from normcore.layers.layer import Gradients


class Cache(NamedTuple):
    """u: log(1 + x), N C H W; everything else is made from it."""

    u: Tensor


@dataclass(frozen=True)
class BoxCox:
    """out = ((1 + x)^λ − 1) / (λ + denominator_eps) for x ≥ 0; at λ = 0 without denominator_eps its limit log(1 + x).

    With u = log(1 + x), z = λu and denominator_eps = 0: out = u · (e^z − 1)/z.
    Backward: dx = dout · (1 + x)^(λ−1); dλ = Σ dout · u² · (z·e^z − e^z + 1)/z². Both quotients have limits at z = 0
    (1 and ½) and are series near it: there is no 0/0. A denominator_eps δ > 0 multiplies out and dx by λ/(λ + δ), and
    dλ follows by the quotient rule.

    denominator_eps: 1e-8 as the 2018 notebook had it, or 0. lambda_gradient: "sum" is the gradient; "mean" divides it
    by the number of elements, as the notebook did.

    Shapes: x, out, dout, dx are N C H W; lam is a scalar. Source: Box, Cox 1964; scipy.special.boxcox1p is the same
    function.
    """

    lam: Tensor
    denominator_eps: float = 0.0
    lambda_gradient: Literal["sum", "mean"] = "sum"

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and u for backward."""
        u = torch.log1p(x)
        cache = Cache(u)
        return self.recompute_output(cache), cache

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return self.forward(x)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and {"lam": dλ}, a scalar."""
        (u,) = cache
        ratio = self._ratio()
        dx = dout * torch.exp((self.lam - 1) * u) * ratio
        slope = u * u * exprel_derivative(self.lam * u) * ratio
        if self.denominator_eps:
            slope = slope + self._transform(u) * self.denominator_eps / (self.lam + self.denominator_eps) ** 2
        dlam = (dout * slope).sum()
        if self.lambda_gradient == "mean":
            dlam = dlam / dout.numel()
        return dx, {"lam": dlam}

    def recompute_output(self, cache: Cache) -> Tensor:
        """The output of forward."""
        return self._transform(cache.u) * self._ratio()

    def parameters(self) -> dict[str, Tensor]:
        """λ, a scalar."""
        return {"lam": self.lam}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def _transform(self, u: Tensor) -> Tensor:
        """The transform without denominator_eps."""
        return u * exprel(self.lam * u)

    def _ratio(self) -> Tensor:
        """What denominator_eps multiplies the transform by; 1 without it, at λ = 0 too."""
        if not self.denominator_eps:
            return torch.ones_like(self.lam)
        return self.lam / (self.lam + self.denominator_eps)
