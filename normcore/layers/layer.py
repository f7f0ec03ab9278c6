"""What every layer of ours can do."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Gradients = dict[str, Tensor]  # by the parameter's name


class Layer(Protocol):
    """A step of a network with its derivative written out.

    It takes one tensor, x, or several (a sum): hence the open signatures.

    What backward needs is in the cache that forward returned, nowhere else: a layer holds its parameters and running
    statistics, nothing of the batch. Images are N C H W.
    """

    def forward(self, *xs: Any, **none: Any) -> tuple[Tensor, Any]:
        """The output on a training batch, and the cache that backward needs. Moves running statistics, if any."""
        ...

    def infer(self, *xs: Any, **none: Any) -> Tensor:
        """The output at test time; changes nothing."""
        ...

    def backward(self, dout: Tensor, cache: Any) -> tuple[Tensor, Gradients]:
        """The loss's gradient with respect to the input (to each, if several) and each parameter, from the output's."""
        ...

    def parameters(self) -> dict[str, Tensor]:
        """The tensors that training changes, by name; changed in place."""
        ...

    def buffers(self) -> dict[str, Tensor]:
        """The running statistics, by name; changed in place."""
        ...


@runtime_checkable
class Weighted(Protocol):
    """A layer whose backward pass comes in two parts: a network's first one is trained without the images' gradient."""

    def input_gradient(self, dout: Tensor, cache: Any) -> Tensor:
        """The dx of backward."""
        ...

    def parameter_gradients(self, dout: Tensor, cache: Any) -> Gradients:
        """Those of backward."""
        ...


@runtime_checkable
class DropsInput(Protocol):
    """A layer whose cache is large for the input in it, and can do without it in the meantime."""

    def without_input(self, cache: Any) -> Any:
        """The cache, its largest part left out."""
        ...

    def with_input(self, cache: Any, x: Tensor) -> Any:
        """The whole cache of a forward pass of x."""
        ...


@runtime_checkable
class Recomputable(Protocol):
    """A layer that makes its output again from its cache, to the bit and cheaply."""

    def recompute_output(self, cache: Any) -> Tensor:
        """The output of forward."""
        ...
