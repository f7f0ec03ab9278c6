"""What can go wrong with an experiment that a caller must know of."""


class NoSuchExperiment(LookupError):
    """There is no experiment of this id."""

    def __init__(self, experiment_id: int) -> None:
        super().__init__(f"there is no experiment {experiment_id}")


class NoSuchGroup(LookupError):
    """No experiment is of this group."""

    def __init__(self, group: str) -> None:
        super().__init__(f"there is no group {group!r}")


class InvalidState(Exception):
    """The experiment is in a state that does not allow what was asked; the message names both."""


class IdempotencyKeyReused(Exception):
    """An idempotency key came back with another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used with another body; use a new key for a new experiment")


class ClaimLost(Exception):
    """A worker wrote for an attempt that is no longer the current one; nothing was changed and it must stop."""
