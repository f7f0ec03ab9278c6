"""`python -m tests.torture.states`: 5,000 steps of any verbs in any order, against a plain model."""

import argparse
import time

from tests.normlab.store.test_queue_states import run_machine
from tests.torture.workers import database_of

STEPS = 5_000


def main() -> None:
    """Live until there are enough steps; a difference raises with the shortest way to it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    kind = parser.parse_args().database
    began, steps = time.monotonic(), 0
    with database_of(kind) as database:
        while steps < STEPS:
            steps += run_machine(database, examples=50, steps=60)
    print(f"states on {kind}: {steps} steps as the model in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
