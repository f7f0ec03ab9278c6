"""A training process whose training loses its claim: it waits for a stop, and then its writes are refused."""

import time
from typing import Any

from worker.run import child, experiment


def lose_claim(database: Any, claim: Any, settings: Any, control: Any) -> bool:
    """Report one step, wait for a stop, and return that the claim was lost."""
    control.step, control.progress_count = 1, 1
    while control.stop is None:
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    experiment.run = lose_claim
    child.main()
