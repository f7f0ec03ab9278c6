"""A worker's child whose training makes no more steps, and gets on: it searches, tests or waits for the database."""

import time
from typing import Any

from worker import child, running


def linger(database: Any, held: Any, settings: Any, orders: Any) -> bool:
    """Give signs of life at one and the same step."""
    orders.step = 7
    while True:
        orders.signs += 1
        time.sleep(0.01)


if __name__ == "__main__":
    running.run = linger
    child.main()
