"""A worker's child whose training makes no more steps, and gets on: it searches, tests or waits for the database."""

import time
from typing import Any

from worker.run import child, experiment


def linger(database: Any, claim: Any, settings: Any, control: Any) -> bool:
    """Give signs of life at one and the same step."""
    control.step = 7
    while True:
        control.progress_count += 1
        time.sleep(0.01)


if __name__ == "__main__":
    experiment.run = linger
    child.main()
