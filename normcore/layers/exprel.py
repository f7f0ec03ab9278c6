"""Two quotients of the power transforms that are 0/0 at an exponent of zero, without that 0/0."""

import torch
from torch import Tensor

SMALL = 0.5  # below this |z| the quotient that cancels is summed as a series; 15 terms reach float64's last digit


def exprel(z: Tensor) -> Tensor:
    """(e^z − 1)/z; expm1 does not cancel, so only z = 0 itself needs its limit, 1 + z/2 for who differentiates this."""
    zero = z == 0
    return torch.where(zero, 1 + z / 2, torch.expm1(z) / torch.where(zero, 1.0, z))


def exprel_derivative(z: Tensor) -> Tensor:
    """(z·e^z − (e^z − 1))/z², near 0 by its series Σ z^k (k+1)/(k+2)!, since the difference there cancels."""
    small = z.abs() < SMALL
    apart = torch.where(small, 1.0, z)
    near = torch.where(small, z, 0.0)
    series = torch.zeros_like(z)
    for coefficient in reversed(SERIES):
        series = series * near + coefficient
    return torch.where(small, series, (apart * torch.exp(apart) - torch.expm1(apart)) / (apart * apart))


def _coefficients(terms: int) -> list[float]:
    """(k+1)/(k+2)! for k = 0, 1, …"""
    coefficients, factorial = [], 1.0
    for k in range(terms):
        factorial *= k + 2
        coefficients.append((k + 1) / factorial)
    return coefficients


SERIES = _coefficients(15)
