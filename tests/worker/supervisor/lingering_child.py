"""A training process that advances without making a step, as in a test pass or while it waits for the database."""

import time
from typing import Any

from worker.run import child, experiment


def linger(database: Any, claim: Any, settings: Any, control: Any) -> bool:
    """Count progress at one and the same step, without end."""
    control.step = 7
    while True:
        control.progress_count += 1
        time.sleep(0.01)


if __name__ == "__main__":
    experiment.run = linger
    child.main()
