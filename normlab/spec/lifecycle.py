"""The life of an experiment: its states, the actions a user may request, and how a training and an attempt end."""

from enum import StrEnum
from typing import Self


class Described(StrEnum):
    """An enumeration whose values each have a sentence that explains them."""

    description: str

    def __new__(cls, value: str, description: str = "") -> Self:
        """Return the member of a value and its sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member


class Status(Described):
    """The state of an experiment."""

    QUEUED = "queued", "It waits for a worker."
    RUNNING = "running", "A worker has claimed it and trains it."
    PAUSED = "paused", "A user has paused it. It waits to be resumed."
    SUCCEEDED = "succeeded", "All its epochs are recorded."
    FAILED = "failed", "It ended with an error."
    CANCELLED = "cancelled", "A user has cancelled it. Its records are kept."

    @property
    def has_ended(self) -> bool:
        """Whether the experiment has ended. No worker changes it any more, unless it is retried."""
        return self in ENDED


ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Phase(Described):
    """What the worker of a running experiment is doing."""

    LOADING = "loading", "The images are read or downloaded, and the network is built."
    COMPILING = "compiling", "The engine is prepared; to compile a step takes up to a minute."
    CHECKING = "checking", "The gradients are checked before the first step."
    TRAINING = "training", "The training steps of an epoch are computed."
    TESTING = "testing", "The test images are classified after an epoch."


class RequestedAction(Described):
    """What a user has requested of a running experiment and its worker has not done yet."""

    CANCEL = "cancel", "Stop training and end the experiment."
    PAUSE = "pause", "Store a checkpoint, stop training and pause the experiment."


class StopReason(Described):
    """Why a training stops before its last epoch."""

    CANCEL = "cancel", "A user requested to cancel the experiment."
    PAUSE = "pause", "A user requested to pause the experiment."
    RELEASE = "release", "The worker stops. It returns the experiment to the queue."
    TIME_LIMIT = "time limit", "The experiment has run for longer than its max_run_seconds."
    CLAIM_LOST = "claim lost", "The worker's claim is no longer current. Nothing more is written for it."


class AttemptOutcome(Described):
    """How an attempt ended."""

    SUCCEEDED = "succeeded", "All epochs are recorded."
    FAILED = "failed", "The training ended with an error."
    CANCELLED = "cancelled", "A user cancelled the experiment."
    PAUSED = "paused", "A user paused the experiment."
    RELEASED = "released", "The worker stopped and returned the experiment to the queue."
    LOST = "lost", "The worker or its training process died or hung, or the lease of its claim expired."
