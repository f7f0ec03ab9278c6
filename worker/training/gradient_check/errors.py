"""Relative errors, and the largest of each kind over the compared steps."""

import math
from enum import Enum, auto

import torch
from torch import Tensor

SMALLEST = 1e-300  # that errors are relative to, so that none is divided by 0


class Kind(Enum):
    """What is compared. Its key also has the layer's index or the tensor's name where there are several."""

    OUTPUT = auto()
    GRADIENTS = auto()
    LOSS = auto()
    CORRECT = auto()
    PARAMETER = auto()
    BUFFER = auto()
    CAPTURE = auto()
    LOGITS = auto()


Key = tuple[Kind, int | str]


class Errors:
    """The largest error of each key.

    Infinity: the training's value is not finite or has another shape. None: the reference itself is not finite.
    """

    def __init__(self) -> None:
        self._largest: dict[Key, float | None] = {}

    def __getitem__(self, key: Key) -> float | None:
        """Return the largest error of a key; None if nothing was compared."""
        return self._largest.get(key)

    def add(self, key: Key, ours: Tensor, reference: Tensor, *, floor: float = 0.0) -> None:
        """Note the error of one tensor."""
        error, largest = relative_error(ours, reference, floor), self._largest.get(key, 0.0)
        self._largest[key] = None if error is None or largest is None else max(error, largest)


def relative_error(ours: Tensor, reference: Tensor, floor: float = 0.0) -> float | None:
    """Return ‖ours − reference‖ / ‖reference‖.

    Return infinity if ours is not finite or of another shape, and None if the reference is not finite.

    floor: what a smaller norm of the reference is replaced by.
    """
    norm = norm_of(reference)
    if not math.isfinite(norm):
        return None
    if ours.shape != reference.shape:
        return math.inf
    distance = norm_of(in_float64(ours, reference) - in_float64(reference, reference))
    if not math.isfinite(distance):
        return math.inf
    return distance / max(norm, floor, SMALLEST) if distance else 0.0


def in_float64(tensor: Tensor, beside: Tensor) -> Tensor:
    """Return the tensor in float64, on the device of another one."""
    return tensor.to(beside.device).to(torch.float64)


def norm_of(tensor: Tensor) -> float:
    """Return the Euclidean norm, summed in float64 for tensors of numbers and counts alike."""
    return float(torch.linalg.vector_norm(tensor.to(torch.float64)))


def finite_norm(tensor: Tensor) -> float:
    """Return the Euclidean norm, and 0 if it is not finite."""
    norm = norm_of(tensor)
    return norm if math.isfinite(norm) else 0.0
