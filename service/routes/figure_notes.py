"""What figures say of the warnings of their experiments."""

from collections.abc import Sequence

from normlab.store.models import Experiment

MAX_NOTES = 3


def warning_notes(experiment: Experiment) -> list[str]:
    """Return a line for each of the first warnings, and one that counts the others."""
    messages = [f"Warning: {warning['message']}" for warning in experiment.warnings]
    more = len(messages) - MAX_NOTES
    return messages if more <= 0 else [*messages[:MAX_NOTES], f"Warning: {more} more, in the experiment's JSON"]


def comparison_notes(compared: Sequence[Experiment]) -> list[str]:
    """Return a line that names the experiments with warnings, or nothing."""
    numbers = [str(experiment.id) for experiment in compared if experiment.warnings]
    return [f"Warning: the JSON of {', '.join(numbers)} has warnings"] if numbers else []
