"""What a training and the thread connected to its supervisor share: the stop reason and the progress."""

from dataclasses import dataclass

from normlab.spec.lifecycle import StopReason
from normlab.store.live_progress import NOTHING_KNOWN, LiveProgress


@dataclass
class RunControl:
    """The state that a training shares with the threads that receive commands and report progress.

    stop: why the training must stop. The training checks it after each step. step: how many steps are done, None
    before the first one. progress_count: increased by every step, and by every part of other long work, such as a
    batch of the test pass. live: what the training is doing, and how fast.
    """

    stop: StopReason | None = None
    step: int | None = None
    progress_count: int = 0
    live: LiveProgress = NOTHING_KNOWN


class StopRequested(Exception):
    """The training was asked to stop."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.description)
        self.reason = reason
