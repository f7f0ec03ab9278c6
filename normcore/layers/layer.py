"""What a layer can do: a forward and a backward pass, and a few abilities that only some layers have.

Each ability is a protocol of its own. A layer that does not have an ability defines nothing for it.
"""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Gradients = dict[str, Tensor]  # by the parameter's name


class Layer(Protocol):
    """One layer of a network, with its derivative written out.

    A layer holds its parameters and running statistics, and nothing of a batch: what backward needs is in the cache
    that forward returns. forward takes one tensor, or several where the layer adds them up; hence the open signature.
    Shapes: N images, C channels, H height, W width, counted from the right.
    """

    def forward(self, *xs: Any, **none: Any) -> tuple[Tensor, Any]:
        """Return the output of a training batch and the cache for backward. Updates running statistics, if any."""
        ...

    def backward(self, dout: Tensor, cache: Any) -> tuple[Tensor, Gradients]:
        """Return the loss's gradients of the input (the same for each, if several) and of every parameter."""
        ...


@runtime_checkable
class HasParameters(Protocol):
    """A layer with tensors that training changes."""

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters by name: the live tensors, changed in place."""
        ...


@runtime_checkable
class HasBuffers(Protocol):
    """A layer with tensors that forward updates and no gradient changes, such as running statistics."""

    def buffers(self) -> dict[str, Tensor]:
        """Return the buffers by name: the live tensors, changed in place."""
        ...


@runtime_checkable
class HasInference(Protocol):
    """A layer whose output is computed otherwise at test time than in training."""

    def for_inference(self) -> Layer:
        """Return the layer of test time. It shares the tensors, and its forward pass changes none of them."""
        ...


@runtime_checkable
class Weighted(Protocol):
    """A layer that can compute its two kinds of gradients separately.

    Training needs the weights' gradient of a network's first layer, but not the gradient of the images.
    """

    def input_gradient(self, dout: Tensor, cache: Any) -> Tensor:
        """Return the dx of backward alone."""
        ...

    def parameter_gradients(self, dout: Tensor, cache: Any) -> Gradients:
        """Return the parameter gradients of backward alone."""
        ...


@runtime_checkable
class DropsInput(Protocol):
    """A layer whose cache holds the input, and which can drop it until backward needs it."""

    def without_input(self, cache: Any) -> Any:
        """Return the cache without the input."""
        ...

    def with_input(self, cache: Any, x: Tensor) -> Any:
        """Return the whole cache of a forward pass of x."""
        ...


@runtime_checkable
class Recomputable(Protocol):
    """A layer that can compute its output again from its cache, bit for bit and at little cost."""

    def recompute_output(self, cache: Any) -> Tensor:
        """Return the output of forward."""
        ...


def parameters_of(layer: Layer) -> dict[str, Tensor]:
    """Return the layer's parameters by name; none if it has none."""
    return layer.parameters() if isinstance(layer, HasParameters) else {}


def buffers_of(layer: Layer) -> dict[str, Tensor]:
    """Return the layer's buffers by name; none if it has none."""
    return layer.buffers() if isinstance(layer, HasBuffers) else {}


def inference_of(layer: Layer) -> Layer:
    """Return the layer that stands for this one at test time: itself, unless test time differs."""
    return layer.for_inference() if isinstance(layer, HasInference) else layer
