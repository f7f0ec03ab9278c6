"""What passes between a supervisor and the training it watches, while an experiment runs."""

from dataclasses import dataclass
from typing import Literal

Order = Literal["cancel", "pause", "give back", "end: its time is up", "lost"]


@dataclass
class Orders:
    """order: what the supervisor wants; training looks after each step. step: how far training is, None before.
    signs: of life, counted: steps, and what else takes long and gets on.
    """

    order: Order | None = None
    step: int | None = None
    signs: int = 0


class Told(Exception):
    """The training was told to stop, and how."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.order: Order = order
