"""A training process that starts another process, as a compilation does. The other process outlives it."""

import subprocess
import time
from typing import Any

from worker.run import child, experiment


def start_another(database: Any, claim: Any, settings: Any, control: Any) -> bool:
    """Start a process that inherits every file descriptor that can be inherited."""
    subprocess.Popen(["sleep", "20"])
    control.step, control.progress_count = 1, 1
    time.sleep(1000)
    return True


if __name__ == "__main__":
    experiment.run = start_another
    child.main()
