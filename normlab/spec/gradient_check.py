"""The answer of a gradient check, as a model that a client can use without the service."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class ComparedErrors(BaseModel):
    """The relative errors ‖ours − reference‖ / ‖reference‖ of one comparison, each the largest over the compared steps.

    The reference computes in float64.
    """

    float64: float | None = Field(
        description="Error of the training's code run in float64, where a right formula leaves rounding of about "
        "1e-15. Null if the reference was not finite, or if this was not compared."
    )
    float64_limit: float | None = Field(
        description="Largest `float64` that passes: 1e-8, or 100,000 times what one rounding of every intermediate "
        "value changes in the reference, if that is more. Null with `float64`, and if that change was not finite."
    )
    training: float | None = Field(
        description="Error of the training's own steps, in its precision and with its engine. Null if a value was not "
        "finite, or if this was not compared."
    )
    training_limit: float | None = Field(
        description="Largest `training` that passes: the greatest of a fixed limit, 100 times the error of PyTorch's "
        "own functions in the training's precision, and 1,000 times what one rounding of every intermediate value "
        "changes in the reference. Null with `training`, and if one of these was not finite."
    )


class LayerCheck(BaseModel):
    """The comparison of one layer."""

    layer: int = Field(description="Number of the convolution or linear layer that this layer belongs to, from 1.")
    kind: str = Field(description="What the layer is, such as `convolution` or `normalization`.")
    output: ComparedErrors = Field(description="Errors of its output in training, from the same input.")
    gradients: ComparedErrors = Field(
        description="Largest errors of its gradients: those of its parameters with and without a capture, and with one "
        "that of its input."
    )
    departure: float | None = Field(
        description="How far its gradients are from the true ones on purpose, relative to those, because of the fields "
        "in `departures`. Null if the spec defines the true gradients."
    )


class TensorCheck(BaseModel):
    """The comparison of how one tensor changed over the compared steps."""

    layer: int = Field(description="Number of the convolution or linear layer that it belongs to, from 1.")
    kind: str = Field(description="What its layer is, such as `convolution` or `normalization`.")
    name: str = Field(description="Name of the tensor, such as `weight` or `running_mean`.")
    change: ComparedErrors = Field(description="Errors of its change, relative to the change.")


class Departure(BaseModel):
    """A field of the spec by which gradients differ from the true ones on purpose."""

    field: str = Field(description="Name of the field.")
    value: str = Field(description="Value of the field in this experiment.")
    changes: str = Field(description="The gradients that it changes.")


class GradientCheck(BaseModel):
    """A gradient check: the steps that train beside a reference built from PyTorch's own functions and autograd."""

    passed: bool = Field(description="Whether every compared error is within its limit.")
    failure: str | None = Field(description="The first error above its limit, in words; null if the check passed.")
    step: int = Field(description="Number of training steps that were done when it was taken; 0: before training.")
    images: int | None = Field(
        description="Number of training images in each compared step; null in a check of an older release."
    )
    steps: int = Field(
        description="Number of successive training steps that were compared, after which the training is restored; 0 "
        "in a check of an older release, which updated nothing."
    )
    engine: str | None = Field(description="Engine of the compared steps; null in a check of an older release.")
    memory: str | None = Field(description="Memory mode of the compared steps; null in a check of an older release.")
    device: str | None = Field(description="Device of the compared steps; null in a check of an older release.")
    precision: str | None = Field(
        description="Precision of the training, such as `float32`; null in a check of an older release."
    )
    scaled_images: ComparedErrors | None = Field(
        description="The images as the network takes them, scaled to 0…1; null if not compared."
    )
    layers: list[LayerCheck] = Field(description="The layers of the network, in order.")
    parameters: list[TensorCheck] = Field(
        description="The parameters after the compared steps, beside those of PyTorch's optimizer with the same "
        "gradients."
    )
    running_statistics: list[TensorCheck] = Field(
        description="The running statistics, and dropout's counts, after the compared steps."
    )
    test_logits: ComparedErrors | None = Field(
        description="The logits of test images in a test pass after the compared steps; null if not compared."
    )
    loss: ComparedErrors | None = Field(description="The loss of the compared steps; null if not compared.")
    correct: ComparedErrors | None = Field(
        description="The count of correctly classified images of the compared steps; null if not compared."
    )
    capture: ComparedErrors | None = Field(
        description="How a step with a capture changes the training differently from one without; null if not compared."
    )
    departures: list[Departure] = Field(
        description="The fields of the spec by which gradients differ from the true ones on purpose. The gradients "
        "that they define are compared, and each layer's `departure` is measured on the same images."
    )
    left_out: list[str] = Field(description="What was not compared, in sentences.")


class RequestedGradientCheck(BaseModel):
    """A gradient check that was requested at an experiment's newest checkpoint."""

    status: Literal["queued", "running", "done", "failed"] = Field(
        description="`queued`: it waits for a worker. `running`: a worker takes it. `done`: `result` holds it. "
        "`failed`: it could not be taken, and `error` says why."
    )
    requested_at: datetime = Field(description="When it was requested, UTC.")
    worker: str | None = Field(description="Name of the worker that takes or took it; null while it is queued.")
    ended_at: datetime | None = Field(description="When it was done or failed, UTC; null before that.")
    result: GradientCheck | None = Field(
        description="The check, with the step of the checkpoint that it was taken at; null until it is done."
    )
    error: str | None = Field(description="Why it could not be taken; null if it did not fail.")
