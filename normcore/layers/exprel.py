"""The quotients of the power transforms, computed without their 0/0 at an exponent of zero and without overflow.

Each function returns a scaled value and a factor; their product is the value. The factor is 1 for every z up to 80.
Above, the value may overflow although its product with a small gradient, or with 1/z, is finite, so the factor comes
last.
"""

import math

import torch
from torch import Tensor

SMALL = 0.5  # Below this |z| the quotient that cancels is a series; 15 terms reach float64's last digit.
LARGE, SHIFT = 80.0, 64.0  # Above LARGE e^z is computed as e^(z − SHIFT) · e^SHIFT. float32's e^z overflows at 88.7.


def exponential(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return e^z, elementwise, scaled, and its factor."""
    shifted, factor = _shifted(z)
    return torch.exp(shifted), factor


def exprel(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return (e^z − 1)/z, elementwise, and 1 at z = 0; scaled, and its factor.

    expm1 does not cancel, so only z = 0 itself needs the limit. It is written 1 + z/2, so that the derivative by
    autograd, which the tests compare with, is right there too. Where z is shifted, the 1 is below the last digit.
    """
    zero = z == 0
    shifted, factor = _shifted(z)
    return torch.where(zero, 1 + z / 2, torch.expm1(shifted) / torch.where(zero, 1.0, z)), factor


def exprel_derivative(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return (z·e^z − (e^z − 1))/z², elementwise, and ½ at z = 0; scaled, and its factor.

    Near 0 the difference cancels, so the value is the series Σ z^k (k+1)/(k+2)! there.
    """
    small = z.abs() < SMALL
    large_z = torch.where(small, 1.0, z)
    small_z = torch.where(small, z, 0.0)
    series = torch.zeros_like(z)
    for coefficient in reversed(SERIES):
        series = series * small_z + coefficient
    shifted, factor = _shifted(large_z)
    quotient = (large_z * torch.exp(shifted) - torch.expm1(shifted)) / (large_z * large_z)
    return torch.where(small, series, quotient), factor


def _shifted(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the exponent that does not overflow, and e to the rest."""
    large = z > LARGE
    return torch.where(large, z - SHIFT, z), torch.ones_like(z).masked_fill(large, math.exp(SHIFT))


def _coefficients(terms: int) -> list[float]:
    """Return (k+1)/(k+2)! for k = 0, 1, … terms − 1."""
    coefficients, factorial = [], 1.0
    for k in range(terms):
        factorial *= k + 2
        coefficients.append((k + 1) / factorial)
    return coefficients


SERIES = _coefficients(15)
