"""`python -m service`: serve; `… key` makes and revokes API keys; `… backup FILE` copies a SQLite database."""

import argparse
import sys
from pathlib import Path

from normlab.process.logging import log_to_stderr
from service import backup, key_commands, server


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve, on a migrated database, with one local worker unless told otherwise.",
    )
    parser.add_argument("--host", help="default: NORMLAB_HOST, else 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: NORMLAB_PORT, else 8000; 0 for any that is free")
    parser.add_argument("--no-worker", action="store_true", help="keep no local worker")
    commands = parser.add_subparsers(dest="command", title="other commands", metavar="")
    key_commands.describe(commands.add_parser("key", help="make, list and revoke API keys"))
    copy = commands.add_parser("backup", help="copy a SQLite database that is in use")
    copy.add_argument("file", type=Path, help="the copy; must not be there yet")
    arguments = parser.parse_args()
    log_to_stderr()
    match arguments.command:
        case "key":
            key_commands.run(arguments)
        case "backup":
            sys.exit(backup.back_up(arguments.file))
        case _:
            given = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
            server.serve(with_worker=not arguments.no_worker, **given)


if __name__ == "__main__":
    main()
