"""The messages between a supervisor and its training process: one JSON object per line, over a socket."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from normlab.spec.lifecycle import StopReason
from normlab.store.claims import Claim
from normlab.store.gradient_checks import CheckClaim
from normlab.store.live_progress import NOTHING_KNOWN, LiveProgress


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)

    def line(self) -> bytes:
        """Return the message as it is sent."""
        return self.model_dump_json().encode() + b"\n"


class Run(_Message):
    """To the training process: run this experiment."""

    kind: Literal["run"] = "run"
    claim: Claim


class CheckGradients(_Message):
    """To the training process: take this gradient check."""

    kind: Literal["check gradients"] = "check gradients"
    claim: CheckClaim


class Stop(_Message):
    """To the training process: stop the experiment after the current step."""

    kind: Literal["stop"] = "stop"
    reason: StopReason


class Abort(_Message):
    """To the training process: write the stack of every thread to the log and exit."""

    kind: Literal["abort"] = "abort"


class Ready(_Message):
    """From the training process, once: it has imported torch and can train.

    device: the name of the device that it trains on by default. threads: how many it may use.
    """

    kind: Literal["ready"] = "ready"
    device: str
    threads: int


class Progress(_Message):
    """From the training process: training has advanced, or is in another phase.

    step: how many steps are done, None before the first one. live: what it is doing.
    """

    kind: Literal["progress"] = "progress"
    claim: Claim
    step: int | None
    live: LiveProgress = NOTHING_KNOWN


class Finished(_Message):
    """From the training process: nothing more will be written for the claim.

    refused_write: whether a write was refused because the claim was no longer current. must_exit: whether abandoned
    work still runs in the process, so that it must not train another experiment.
    """

    kind: Literal["finished"] = "finished"
    claim: Claim
    refused_write: bool
    must_exit: bool


class CheckFinished(_Message):
    """From the training process: nothing more will be written for the gradient check."""

    kind: Literal["check finished"] = "check finished"
    claim: CheckClaim


Command = Run | CheckGradients | Stop | Abort
Report = Ready | Progress | Finished | CheckFinished

COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])
REPORTS: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])
