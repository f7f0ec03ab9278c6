"""The errors of the queue's verbs that a caller handles."""


class NoSuchExperiment(LookupError):
    """No experiment has this id."""

    def __init__(self, experiment_id: int) -> None:
        super().__init__(f"there is no experiment {experiment_id}")


class NoSuchGroup(LookupError):
    """No experiment was ever queued in this group."""

    def __init__(self, group: str) -> None:
        super().__init__(f"there is no group {group!r}")


class InvalidState(Exception):
    """The experiment's state does not allow the verb. The message names both."""


class IdempotencyKeyReused(Exception):
    """An idempotency key was used before with another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used with another body. Use a new key for a new experiment")


class CheckLost(Exception):
    """A gradient check is no longer its worker's: another worker has it, or it was deleted. Nothing was written."""

    def __init__(self, experiment_id: int) -> None:
        super().__init__(f"the gradient check of experiment {experiment_id} was deleted, or another worker has it")


class ClaimLost(Exception):
    """A worker's attempt is no longer the current one. Nothing was written, and the worker must stop its training."""

    def __init__(self, experiment_id: int, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of experiment {experiment_id} is no longer the current one")
