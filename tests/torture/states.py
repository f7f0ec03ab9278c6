"""`python -m tests.torture.states`: 5,000 steps of random verbs in random order, compared with a plain model."""

import time

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from tests.normlab.store.test_queue_states import run_machine
from tests.torture.workers import database_of

STEPS = 5_000


def main() -> None:
    """Run until there are enough steps. A difference raises with the shortest sequence of steps that shows it."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    kind = parser.parse_args().database
    began, steps = time.monotonic(), 0
    with ProgressLines(f"states on {kind}", STEPS, "steps") as progress, database_of(kind) as database:
        while steps < STEPS:
            steps += run_machine(database, examples=50, steps=60)
            progress.done = steps
    print(f"states on {kind}: {steps} steps equal to the model in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
