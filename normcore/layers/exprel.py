"""Two quotients of the power transforms that would be 0/0 at an exponent of zero, computed without that 0/0."""

import torch
from torch import Tensor

SMALL = 0.5  # Below this |z| the quotient that cancels is a series; 15 terms reach float64's last digit.


def exprel(z: Tensor) -> Tensor:
    """Return (e^z − 1)/z, elementwise, and 1 at z = 0.

    expm1 does not cancel, so only z = 0 itself needs the limit. It is written 1 + z/2, so that the derivative by
    autograd, which the tests compare with, is right there too.
    """
    zero = z == 0
    return torch.where(zero, 1 + z / 2, torch.expm1(z) / torch.where(zero, 1.0, z))


def exprel_derivative(z: Tensor) -> Tensor:
    """Return (z·e^z − (e^z − 1))/z², elementwise, and ½ at z = 0.

    Near 0 the difference cancels, so the value is the series Σ z^k (k+1)/(k+2)! there.
    """
    small = z.abs() < SMALL
    large_z = torch.where(small, 1.0, z)
    small_z = torch.where(small, z, 0.0)
    series = torch.zeros_like(z)
    for coefficient in reversed(SERIES):
        series = series * small_z + coefficient
    return torch.where(small, series, (large_z * torch.exp(large_z) - torch.expm1(large_z)) / (large_z * large_z))


def _coefficients(terms: int) -> list[float]:
    """Return (k+1)/(k+2)! for k = 0, 1, … terms − 1."""
    coefficients, factorial = [], 1.0
    for k in range(terms):
        factorial *= k + 2
        coefficients.append((k + 1) / factorial)
    return coefficients


SERIES = _coefficients(15)
