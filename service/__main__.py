"""`python -m service`: serve; `… key` creates and revokes API keys; `… backup FILE` copies a SQLite database."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service", description="Serve on a migrated database, with one local worker by default."
    )
    parser.add_argument("--host", help="default: NORMLAB_HOST, else 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: NORMLAB_PORT, else 8000; 0 takes any free port")
    parser.add_argument("--no-worker", action="store_true", help="start no local worker")
    commands = parser.add_subparsers(dest="command", title="other commands", metavar="")
    _add_key_commands(commands.add_parser("key", help="create, list and revoke API keys"))
    copy = commands.add_parser("backup", help="copy a SQLite database that is in use")
    copy.add_argument("file", type=Path, help="the copy; this file must not exist yet")
    return parser


def _add_key_commands(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="")
    create = verbs.add_parser("create", help="create a key; it is printed once and not stored")
    create.add_argument("--scope", choices=["read", "write"], required=True, help="write allows every request")
    create.add_argument("--name", type=_printable, default="", help="the key's name in the list")
    verbs.add_parser("list", help="list the keys without their secrets")
    revoke = verbs.add_parser("revoke", help="refuse a key from its next request on")
    revoke.add_argument("id", type=_printable)


def _printable(text: str) -> str:
    """Return the argument. The list prints it in one line, and bytes that are not text cannot be stored."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError("expected printable characters, without control characters or line breaks")
    return text


if __name__ == "__main__":
    main()
