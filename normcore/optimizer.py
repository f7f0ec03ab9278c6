"""What every optimizer of ours can do."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Optimizer(Protocol):
    """Moves parameters by their gradients. Its whole memory is in steps and state()."""

    steps: int

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Move every parameter by its gradient, of the same name and shape. Raises KeyError for a missing gradient."""
        ...

    def state(self) -> dict[str, Tensor]:
        """The averages it keeps, by name; the live tensors, changed in place."""
        ...
