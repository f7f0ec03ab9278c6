"""What is wrong with an image folder, and one message of bounded length about all of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_FAULTS = 20  # that a message lists
MAX_CHARACTERS = 200  # of a path or a name in a message
MAX_REASON = 500  # characters


@dataclass(frozen=True)
class Fault:
    """One fault.

    path: relative to the data directory. reason: continues the sentence that the path begins. files: how many files
    have the fault; the path is of the first. can_skip: whether the other images can be used without these files.
    """

    path: str
    reason: str
    files: int = 1
    can_skip: bool = False

    def __str__(self) -> str:
        return f"{printable(self.path)} {printable(self.reason, MAX_REASON)}"


def faults_message(folder: str, faults: Sequence[Fault]) -> str:
    """Return what is wrong with the folder: the first faults, how many more there are, and what to do."""
    number = "1 fault" if len(faults) == 1 else f"{len(faults):,} faults"
    advice = (
        ". Replace or remove these files, or set skip_damaged to true to train without them"
        if any(fault.can_skip for fault in faults)
        else ""
    )
    return f"the folder {printable(folder)} has {number}: {faults_text(faults)}{advice}"


def faults_text(faults: Sequence[Fault]) -> str:
    """Return the first faults, and how many more there are."""
    listed = [str(fault) for fault in faults[:MAX_FAULTS]]
    more = [f"and {len(faults) - MAX_FAULTS:,} more"] if len(faults) > MAX_FAULTS else []
    return "; ".join([*listed, *more])


def printable(text: str, length: int = MAX_CHARACTERS) -> str:
    """Return text of bounded length that JSON and every database can hold.

    Control characters and bytes of a file name that are not UTF-8 are escaped.
    """
    whole = text.encode("utf-8", "backslashreplace").decode()
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in whole[: length + 1]
    )
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def names_text(names: Iterable[str]) -> str:
    """Return class names as a list in words, of bounded length."""
    every = sorted(names)
    shown = [printable(name) for name in every[:MAX_FAULTS]]
    return ", ".join(shown if len(every) <= MAX_FAULTS else [*shown, f"and {len(every) - MAX_FAULTS:,} more"])
