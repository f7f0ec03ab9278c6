"""A worker's child whose training starts another process, as a compilation does, and that one outlives it."""

import subprocess
import time
from typing import Any

from worker import child, running


def start_another(database: Any, held: Any, settings: Any, orders: Any) -> bool:
    """Have somebody else hold what this process holds."""
    subprocess.Popen(["sleep", "20"])
    orders.step, orders.signs = 1, 1
    time.sleep(1000)
    return True


if __name__ == "__main__":
    running.run = start_another
    child.main()
