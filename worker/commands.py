"""What a supervisor and its training exchange while an experiment runs: a stop command goes down, progress comes up."""

from dataclasses import dataclass

from normlab.spec.lifecycle import StopReason


@dataclass
class RunControl:
    """The state that the thread listening to the supervisor shares with the training.

    stop: why the training must stop; it looks after each step. step: how many steps are done, None before the first.
    progress_count: rises with every step and with everything else that takes long and advances.
    """

    stop: StopReason | None = None
    step: int | None = None
    progress_count: int = 0


class StopRequested(Exception):
    """The training was asked to stop."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.description)
        self.reason = reason
