"""`python -m service` serves; its command `key` manages API keys, and `backup` copies a SQLite database."""

import argparse
import sys
from pathlib import Path

from normlab.process.logging import log_to_stderr
from service import backup, key_commands, server


def main() -> None:
    """Run the command of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve. A SQLite database is migrated first, and one local worker runs beside the service.",
    )
    parser.add_argument("--host", help="default: NORMLAB_HOST, else 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: NORMLAB_PORT, else 8000; 0 for any free port")
    parser.add_argument("--no-worker", action="store_true", help="run no local worker")
    commands = parser.add_subparsers(dest="command", title="other commands", metavar="")
    key_commands.describe(commands.add_parser("key", help="make, list and revoke API keys"))
    copy = commands.add_parser("backup", help="copy a SQLite database that is in use")
    copy.add_argument("file", type=Path, help="the copy; it must not exist yet")
    arguments = parser.parse_args()
    log_to_stderr()
    match arguments.command:
        case "key":
            key_commands.run(arguments)
        case "backup":
            sys.exit(backup.back_up(arguments.file))
        case _:
            settings = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
            server.serve(with_worker=not arguments.no_worker, **settings)


if __name__ == "__main__":
    main()
