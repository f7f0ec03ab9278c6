"""What the fuzz has requested and what was wrong."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """The counts of one process, or of several that were added."""

    kinds: Counter = field(default_factory=Counter)  # of schemathesis's cases, by phase and by mode
    cases: int = 0
    refused: int = 0  # valid by the schema, but refused by a rule beyond it
    hostile: int = 0
    idle: int = 0
    fives: int = 0
    dead: int = 0
    lost: int = 0
    grown: int = 0  # bytes, the most of any service
    wrong: dict = field(default_factory=dict)  # by check and operation: the shortest request that fails

    def add(self, other):
        """Add the tally of another process."""
        self.kinds.update(other.kinds)
        self.wrong.update(other.wrong)
        self.grown = max(self.grown, other.grown)
        for count in ("cases", "refused", "hostile", "idle", "fives", "dead", "lost"):
            setattr(self, count, getattr(self, count) + getattr(other, count))
