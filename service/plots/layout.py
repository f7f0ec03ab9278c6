"""Places in a figure, in inches: how large a block of layers is, and where its panels are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlab.store.records import Capture

MAX_PANELS = 12  # a block of more layers is a heat map


@dataclass(frozen=True)
class Area:
    """A rectangle of a figure, in inches from the figure's lower left corner."""

    left: float
    bottom: float
    width: float
    height: float

    def axes(self, figure: Figure) -> Axes:
        """Return new axes that fill the rectangle."""
        width, height = figure.get_size_inches()
        place = self.left / width, self.bottom / height, self.width / width, self.height / height
        return figure.add_axes(place)

    @property
    def top(self) -> float:
        """The upper edge."""
        return self.bottom + self.height

    def cell(self, index: int, rows: int, columns: int) -> "Area":
        """Return one of rows × columns equal parts, counted along the rows from the upper left one."""
        row, column = divmod(index, columns)
        width, height = self.width / columns, self.height / rows
        return Area(self.left + column * width, self.bottom + (rows - 1 - row) * height, width, height)

    def inside(self, *, left: float = 0.0, right: float = 0.0, bottom: float = 0.0, top: float = 0.0) -> "Area":
        """Return the rectangle without margins of these widths."""
        return Area(self.left + left, self.bottom + bottom, self.width - left - right, self.height - bottom - top)


def layers_of(captures: Sequence[Capture], quantity: str) -> list[int]:
    """Return the numbers of the layers that a quantity was captured in, ascending."""
    return sorted({layer for capture in captures for layer, name in capture.histograms if name == quantity})


def columns_of(layers: int) -> int:
    """Return how many columns of panels a block of so many layers has: three, or fewer where that leaves no gaps."""
    return {1: 1, 2: 2, 4: 2}.get(layers, 3)


def rows_of(layers: int) -> int:
    """Return how many rows of panels a block of so many layers has."""
    return math.ceil(layers / columns_of(layers))
