"""The JSON responses about experiments, as models that a client can use without the service."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.gradient_check import GradientCheck
from normlab.spec.layer_shape import LayerShape
from normlab.spec.lifecycle import AttemptOutcome, Phase, RequestedAction, Status
from normlab.spec.provenance import ProvenanceResponse
from normlab.spec.warning import ExperimentWarning


def sentences(kind: type[Status] | type[Phase] | type[RequestedAction] | type[AttemptOutcome]) -> str:
    """Return every value of an enumeration with its sentence, for a field's description."""
    return " ".join(f"`{each.value}`: {each.description}" for each in kind)


class ProgressResponse(BaseModel):
    """How much of a training is done and recorded, and what its worker is doing. Phase and pace are of a heartbeat."""

    phase: Phase | None = Field(
        description=f"What the worker is doing; null unless the experiment runs. {sentences(Phase)}"
    )
    images_per_second: float | None = Field(
        description="Training images per second over the last seconds; null before the first step, and unless it runs."
    )
    seconds_left: float | None = Field(
        description="Seconds that the rest of the training takes at the pace of this attempt; null before its first "
        "step, and unless the experiment runs."
    )
    epochs_done: int = Field(description="How many epochs are recorded. The last of 5 epochs has the number 4.")
    epochs: int = Field(description="How many epochs the whole training has.")
    step: int = Field(description="Number of training steps that are recorded.")
    steps: int | None = Field(
        description="Number of training steps of the whole training; null until a worker has loaded the images."
    )


class ExperimentSummary(BaseModel):
    """The fields of an experiment that a list shows by default."""

    id: int = Field(description="Number of the experiment, from 1 in the order of posting.")
    name: str | None = Field(description="Its name; null if it has none.")
    status: Status = Field(description=sentences(Status))
    normalization: str = Field(description="Variant of its normalization layers, as in its spec.")
    dataset: str = Field(description="Name of its data set, as in its spec.")
    seed: int = Field(description="Its seed, as in its spec.")
    group: str | None = Field(description="Name of the group that it is queued in; null if it has none.")
    tags: list[str] = Field(description="Its tags, each once, sorted.")
    priority: int = Field(description="Queued experiments of higher priority are claimed first.")
    created_at: datetime = Field(description="When it was posted, UTC.")
    started_at: datetime | None = Field(description="When a worker first claimed it, UTC; null before that.")
    ended_at: datetime | None = Field(description="When it succeeded, failed or was cancelled, UTC; null before that.")
    progress: ProgressResponse = Field(description="How much of the training is done.")
    last_train_loss: float | None = Field(
        description="Training loss of the last recorded epoch; null before the first, and if it is not finite."
    )
    last_test_loss: float | None = Field(
        description="Test loss after the last recorded epoch; null before the first, and if it is not finite."
    )
    last_test_accuracy: float | None = Field(
        description="Test accuracy after the last recorded epoch, 0 to 1; null before the first."
    )
    best_test_accuracy: float | None = Field(
        description="Largest test accuracy after any recorded epoch, 0 to 1; null before the first."
    )
    error: str | None = Field(description="Why the experiment failed; null if it did not fail.")
    warnings: list[ExperimentWarning] = Field(
        description="What makes the result doubtful although nothing failed. A retry from the start begins without any."
    )


class ExperimentResponse(ExperimentSummary):
    """An experiment: its summary, its spec, what it ran on, and the addresses of its records."""

    requested_action: RequestedAction | None = Field(
        description="What a user has requested of the running experiment and its worker has not done yet. "
        + sentences(RequestedAction)
    )
    attempt: int = Field(description="Number of times that a worker has claimed the experiment.")
    worker: str | None = Field(description="Name of the worker that trains or ended it; null if queued or paused.")
    spec: ExperimentSpec = Field(
        description="The spec, with every default filled in. A width that is `classes` becomes a number once a worker "
        "has read the folder."
    )
    network: tuple[LayerShape, ...] = Field(description="Every layer of the network with its shapes.")
    parameters: int | None = Field(
        description="Number of learned parameters of the whole network; null if it depends on the number of classes of "
        "a folder that no worker has read yet."
    )
    provenance: ProvenanceResponse | None = Field(
        description="What the last attempt ran on and was trained on; null before the training begins."
    )
    gradient_check: GradientCheck | None = Field(
        description="Result of the gradient check before training; null if there was none."
    )
    links: dict[str, str] = Field(
        description="Addresses by name: `self`, `attempts`, `checkpoint`, `gradient-check`, `metrics`, `layers`, "
        "`histograms`, `plots`."
    )


def _require_nothing(schema: dict[str, Any]) -> None:
    schema.pop("required", None)


class ListedExperiment(ExperimentSummary):
    """An experiment of a list. With the parameter `fields` it has those fields of an experiment alone."""

    model_config = ConfigDict(json_schema_extra=_require_nothing)


class ExperimentPage(BaseModel):
    """One page of a list of experiments."""

    experiments: list[ListedExperiment] = Field(description="The experiments of this page, in the requested order.")
    next: str | None = Field(description="Path and query of the next page; null on the last page.")


class AttemptResponse(BaseModel):
    """One attempt: one claim of an experiment by a worker."""

    attempt: int = Field(description="Number of the attempt, from 1.")
    worker: str = Field(description="Name of the worker.")
    claimed_at: datetime = Field(description="When the worker claimed the experiment, UTC.")
    resumed_at_step: int | None = Field(
        description="Number of steps in the checkpoint that the attempt resumed from; null if it began at the start."
    )
    device: str | None = Field(description="Device of the training; null until the training begins.")
    threads: int | None = Field(description="Number of CPU threads of the training; null until the training begins.")
    engine: str | None = Field(
        description="How the steps were run: `eager`, `compiled` or `cuda_graph`; null at first."
    )
    differs: list[str] = Field(
        description="What differs from where the training began, such as the device. If the list is not empty, the "
        "last bits of the result may differ from an uninterrupted training."
    )
    ended_at: datetime | None = Field(description="When the attempt ended, UTC; null while it runs.")
    outcome: AttemptOutcome | None = Field(description=f"Null while it runs. {sentences(AttemptOutcome)}")
    detail: str | None = Field(description="More about the outcome, such as the error message; null if there is none.")


class AttemptsResponse(BaseModel):
    """Every attempt of one experiment."""

    attempts: list[AttemptResponse] = Field(description="The attempts, oldest first.")


class CheckpointResponse(BaseModel):
    """The newest checkpoint of an experiment. Older ones are not kept."""

    step: int = Field(description="Number of training steps that were done.")
    bytes: int = Field(description="Size of the checkpoint.")
    sha256: str = Field(
        description="SHA-256, in hex, of weights, optimizer state and running statistics. Two trainings of one spec on "
        "the same device, thread count and engine have the same hash after the same epoch, with any number of "
        "interruptions."
    )


class GroupResponse(BaseModel):
    """The experiments that a request to a group has changed."""

    experiments: Sequence[int] = Field(description="Their numbers, ascending.")


class GroupSummary(BaseModel):
    """A group, and how many experiments it has in each state."""

    group: str | None = Field(description="Name of the group; null stands for all experiments without a group.")
    experiments: int = Field(description="Number of its experiments; 0 if all of them were deleted.")
    statuses: dict[Status, int] = Field(description="Number of its experiments in each state. Every state is listed.")


class GroupPage(BaseModel):
    """One page of the list of groups."""

    groups: list[GroupSummary] = Field(description="The groups, sorted by name; experiments without a group first.")
    next: str | None = Field(description="Path and query of the next page; null on the last page.")
