"""`python -m tests.torture`: run every torture command and store the last line of each, with machine and date.

With names of commands, only those run, and their lines replace the older ones.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from normlab.process.command_line import CommandParser, unknown

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "torture.md"
HEAD = """# Torture

The last line of each command of `make torture`, as it was printed, with its machine and date.
"""
COMMANDS = {
    "kill_storm, SQLite": ["tests.torture.kill_storm", "--database", "sqlite"],
    "kill_storm, PostgreSQL": ["tests.torture.kill_storm", "--database", "postgresql"],
    "crash_points, SQLite": ["tests.torture.crash_points", "--database", "sqlite"],
    "crash_points, PostgreSQL": ["tests.torture.crash_points", "--database", "postgresql"],
    "takeover": ["tests.torture.takeover"],
    "states, SQLite": ["tests.torture.states", "--database", "sqlite"],
    "states, PostgreSQL": ["tests.torture.states", "--database", "postgresql"],
    "posting, SQLite": ["tests.torture.posting", "--database", "sqlite"],
    "posting, PostgreSQL": ["tests.torture.posting", "--database", "postgresql"],
    "readers": ["tests.torture.readers"],
    "fuzz": ["tests.torture.fuzz"],
    "database_gone": ["tests.torture.database_gone"],
    "age, SQLite": ["tests.torture.age", "--database", "sqlite"],
    "age, PostgreSQL": ["tests.torture.age", "--database", "postgresql"],
    "damaged_images": ["tests.torture.damaged_images"],
    "own_images": ["tests.torture.own_images"],
    "defects": ["tests.torture.defects"],
    "gradient_defects": ["tests.torture.gradient_defects"],
    "containers": ["tests.containers.takeover"],
}
BY_DEFAULT = [name for name in COMMANDS if name != "containers"]  # it needs a container engine


def main() -> None:
    """Run the commands, store their lines, and exit with the number of commands that failed."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", type=_name, default=BY_DEFAULT, metavar="NAME", help=f"one of {'; '.join(COMMANDS)}"
    )
    arguments = parser.parse_args()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    failed = 0
    for index, name in enumerate(arguments.names):
        left = arguments.names[index + 1 :]
        print(f"torture: {name}; {len(left)} commands left: {'; '.join(left)}", file=sys.stderr, flush=True)
        began = time.monotonic()
        result = subprocess.run(
            [sys.executable, "-m", *COMMANDS[name]],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = result.stdout.strip().splitlines()[-1] if result.stdout.strip() else "it printed nothing"
        failed += result.returncode != 0
        details = f"{time.monotonic() - began:.0f} s, {machine}, {datetime.now(UTC):%Y-%m-%d}"
        lines = _stored_lines() | {name: f"{'' if result.returncode == 0 else 'FAILED: '}{line} ({details})"}
        print(f"{name}: {lines[name]}", flush=True)
        RESULTS.write_text(HEAD + "".join(f"\n- **{name}** {lines[name]}" for name in COMMANDS if name in lines) + "\n")
    raise SystemExit(failed)


def _name(text):
    """Check the name of a command."""
    if text not in COMMANDS:
        raise argparse.ArgumentTypeError(unknown("command", text, COMMANDS))
    return text


def _stored_lines():
    """Return the lines of earlier runs by name."""
    if not RESULTS.exists():
        return {}
    rows = (line.removeprefix("- **").split("** ", 1) for line in RESULTS.read_text().splitlines() if "** " in line)
    return dict(map(tuple, rows))


if __name__ == "__main__":
    main()
