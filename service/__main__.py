"""`python -m service` serves; its command `key` manages API keys, and `backup` copies a SQLite database."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from normlab.process.command_line import CommandParser


def main() -> None:
    """Run the command that the arguments name."""
    command = _import_command(_parser().parse_args())
    from normlab.process.logging import log_to_stderr

    log_to_stderr()
    command()


def _import_command(arguments: argparse.Namespace) -> Callable[[], None]:
    """Import the code of the command that the arguments name, and no other.

    The server's imports take a second, which help, a refused argument and the other commands do not need.
    """
    match arguments.command:
        case "key":
            from service import key_commands

            return partial(key_commands.run, arguments)
        case "backup":
            from service import backup

            return lambda: sys.exit(backup.back_up(arguments.file))
        case _:
            from service import server

            given = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
            return partial(server.serve, with_worker=not arguments.no_worker, **given)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="python -m service",
        description="Serve. A SQLite database is migrated first, and one local worker runs beside the service.",
    )
    parser.add_argument("--host", help="default: NORMLAB_HOST, else 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: NORMLAB_PORT, else 8000; 0 for any free port")
    parser.add_argument("--no-worker", action="store_true", help="run no local worker")
    commands = parser.add_subparsers(dest="command", title="other commands", metavar="COMMAND")
    _add_key_commands(commands.add_parser("key", help="create, list and revoke API keys"))
    copy = commands.add_parser("backup", help="copy a SQLite database that is in use")
    copy.add_argument("file", type=Path, help="the copy; it must not exist yet")
    return parser


def _add_key_commands(parser: CommandParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    create = verbs.add_parser("create", help="create an API key; it is printed once and stored as a hash only")
    create.add_argument(
        "--scope", choices=["read", "write"], required=True, help="read: may read; write: may do everything"
    )
    create.add_argument("--name", type=_printable, default="", help="a name for the list")
    verbs.add_parser("list", help="list the API keys without their secrets")
    revoke = verbs.add_parser("revoke", help="revoke an API key; its next request is refused")
    revoke.add_argument("id", type=_printable)


def _printable(text: str) -> str:
    """Check an argument: a name is printed in one line of the list, and bytes that are no text cannot be stored."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError("expected printable characters, without control characters or line breaks")
    return text


if __name__ == "__main__":
    main()
