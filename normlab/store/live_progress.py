"""What a running training is doing, as its worker's heartbeats store it."""

from dataclasses import dataclass

from normlab.spec.lifecycle import Phase


@dataclass(frozen=True)
class LiveProgress:
    """The phase, the training images per second of the last seconds, and the seconds left. None: not known yet."""

    phase: Phase | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None


NOTHING_KNOWN = LiveProgress()
