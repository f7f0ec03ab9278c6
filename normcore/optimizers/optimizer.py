"""What every optimizer can do."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Optimizer(Protocol):
    """Updates parameters by their gradients. Its whole state is in steps and state().

    A step has two parts, so that the second can be compiled or replayed: the host computes what depends on the step's
    number, and the device does everything else.
    """

    steps: int

    def next_coefficients(self) -> list[float]:
        """Return the numbers that depend on the next step's number, the learning rate first; counts the step."""
        ...

    def update(self, gradients: Mapping[str, Tensor], coefficients: Tensor) -> None:
        """Update every parameter, in place, by the gradient of the same name and shape.

        coefficients: this step's, one-dimensional, on the parameters' device. Raises KeyError for a missing gradient.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the optimizer's averages by name: the live tensors, changed in place."""
        ...
