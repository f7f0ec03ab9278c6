"""The power transform of Box-Cox and Yeo-Johnson, for the reference network, at every exponent."""

import numpy as np
import torch
from torch import Tensor

NODES = 6  # of the quadrature: for |z| < 1 its error is below 1e-15


def power_transform(x: Tensor, lam: Tensor) -> Tensor:
    """Return ((1 + x)^λ − 1)/λ, x ≥ 0, and its limit log(1 + x) at λ = 0. Autograd differentiates both arguments.

    It is the integral of e^(λs) over s from 0 to u = log(1 + x). With z = λu that is u times the mean of e^(zt) over t
    from 0 to 1. Where |z| < 1 the mean is a Gauss-Legendre quadrature, whose derivative does not cancel either.
    """
    u = torch.log1p(x)
    z = lam * u
    is_small = z.abs() < 1
    small, large = torch.where(is_small, z, 0.0), torch.where(is_small, 1.0, z)
    return u * torch.where(is_small, _mean_of_exponential(small), torch.expm1(large) / large)


def _mean_of_exponential(z: Tensor) -> Tensor:
    """Return the mean of e^(zt) over t from 0 to 1, by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    mean = torch.zeros_like(z)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        mean = mean + float(weight) * torch.exp(float(node) * z)
    return mean
