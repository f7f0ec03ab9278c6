"""What every optimizer of ours can do."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Optimizer(Protocol):
    """Moves parameters by their gradients. Its whole memory is in steps and state().

    A step is in two parts, so that the second can be compiled or replayed: what the step's number decides is worked out
    on the host, and all else is done to tensors on the device.
    """

    steps: int

    def next_coefficients(self) -> list[float]:
        """What the coming step's number decides, the learning rate first; the step counts as taken."""
        ...

    def update(self, gradients: Mapping[str, Tensor], coefficients: Tensor) -> None:
        """Move every parameter by its gradient, of the same name and shape. Raises KeyError for a missing gradient.

        coefficients: those of this step, one-dimensional, on the parameters' device.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """The averages it keeps, by name; the live tensors, changed in place."""
        ...
