"""What every layer of ours can do."""

from typing import Any, Protocol

from torch import Tensor

Gradients = dict[str, Tensor]  # by the parameter's name


class Layer(Protocol):
    """A step of a network with its derivative written out.

    What backward needs is in the cache that forward returned, nowhere else: a layer holds its parameters and running
    statistics, nothing of the batch. Images are N C H W.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """The output on a training batch, and the cache that backward needs. Moves running statistics, if any."""
        ...

    def infer(self, x: Tensor) -> Tensor:
        """The output at test time; changes nothing."""
        ...

    def backward(self, dout: Tensor, cache: Any) -> tuple[Tensor, Gradients]:
        """The loss's gradient with respect to the input and to each parameter, from that of the output."""
        ...

    def parameters(self) -> dict[str, Tensor]:
        """The tensors that training changes, by name; changed in place."""
        ...

    def buffers(self) -> dict[str, Tensor]:
        """The running statistics, by name; changed in place."""
        ...
