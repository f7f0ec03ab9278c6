"""The symmetric logarithmic axis: linear around zero and logarithmic on both sides."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

MAX_DECADES = 6  # on each side of the linear part
MIN_LABEL_DISTANCE = 0.17  # of the axis: closer labels would touch


@dataclass(frozen=True)
class Symlog:
    """Position v / threshold up to the threshold, and sign(v) · (1 + log10(|v| / threshold)) beyond.

    So the linear part lies between the positions −1 and 1, and each decade beyond is as wide as half of it.

    lowest: the threshold is 10^lowest. top: 10^top is the largest power of ten on the axis.
    """

    lowest: int
    top: int

    @classmethod
    def of(cls, low: float, high: float, small: float) -> "Symlog":
        """Return an axis for values from low to high. The threshold is the power of ten above a small magnitude.

        It is lower where that is needed to have two powers of ten on the axis.
        """
        top = math.floor(math.log10(max(abs(low), abs(high))) + 1e-9)
        lowest = max(math.ceil(math.log10(small) - 1e-9), top - MAX_DECADES)
        return cls(min(lowest, top - 1), top)

    @property
    def label(self) -> str:
        """What the axis says about itself, as mathtext."""
        return f"symlog, linear below $10^{{{self.lowest}}}$"

    def position(self, value: float) -> float:
        """Return where a value lies on the axis."""
        ratio = abs(value) / 10.0**self.lowest
        return math.copysign(ratio if ratio <= 1 else 1 + math.log10(ratio), value)

    def value(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values at these positions, of the same shape."""
        distance = np.abs(positions)
        ratio = np.where(distance <= 1, distance, 10.0 ** (np.maximum(distance, 1) - 1))
        return np.asarray(np.sign(positions) * ratio * 10.0**self.lowest)

    def ticks(self, low: float, high: float) -> tuple[tuple[float, str], ...]:
        """Return positions and labels of powers of ten between low and high, as many as have room, and of zero.

        Zero has no label where that would leave a single power. An axis without two powers has two other labels.
        """
        powers = [power for power in range(self.lowest, self.top + 1) if self._is_within(power, low, high)]
        room = MIN_LABEL_DISTANCE * (self.position(high) - self.position(low))
        for stride, zero in product(range(1, len(powers)), (True, False)):
            marks = [sign * 10.0**power for sign in (-1, 1) for power in powers[::-1][::stride]] + [0.0] * zero
            ticks = sorted(self.position(mark) for mark in marks if low <= mark <= high)
            if min(np.diff(ticks)) >= room:
                return tuple((position, self._label(position)) for position in ticks)
        values = [float(f"{low + fraction * (high - low):.6g}") for fraction in (1 / 6, 5 / 6)]
        return tuple((self.position(value), f"{value:g}".replace("-", "−")) for value in values)

    def minor(self, low: float, high: float) -> tuple[float, ...]:
        """Return positions between the powers of ten: 1, 2 and 5 of each decade, or 1 where there are many decades."""
        digits = (1, 2, 5) if self.top - self.lowest <= 3 else (1,)
        marks = [
            sign * digit * 10.0**power
            for sign in (-1, 1) for power in range(self.lowest, self.top + 1) for digit in digits
        ]  # fmt: skip
        return tuple(self.position(mark) for mark in marks if low <= mark <= high)

    def _label(self, position: float) -> str:
        """Return the label of zero, or of the power of ten at a position."""
        power = round(abs(position)) - 1 + self.lowest
        return f"${'-' * (position < 0)}10^{{{power}}}$" if position else "0"

    @staticmethod
    def _is_within(power: int, low: float, high: float) -> bool:
        return low <= 10.0**power <= high or low <= -(10.0**power) <= high
