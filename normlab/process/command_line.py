"""The parser of every command's arguments. An unknown option or name is refused with the closest known one."""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

_NUMBER = re.compile(r"-\d+\.?\d*")


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that takes no abbreviated options. An error exits with code 2.

    prog: by default `python -m` and the name of the module that runs.
    """

    def __init__(self, *, prog: str | None = None, **options: Any) -> None:
        super().__init__(prog=prog or _running_module(), allow_abbrev=False, **options)

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """Do as ArgumentParser does, but refuse an unknown option first: its value could be taken for a command."""
        words = sys.argv[1:] if args is None else list(args)
        for option in self._options(words):
            if option not in self._option_string_actions:
                self.error(unknown("option", option, self._option_string_actions))
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with code 2."""
        super().error(message.removeprefix("argument : "))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, unknown("choice", value, action.choices))

    def _options(self, words: Sequence[str]) -> Iterator[str]:
        """Yield the options among the words, without their values. A subcommand's words are left to its own parser."""
        rest = iter(words)
        for word in rest:
            option, assigned, _ = word.partition("=")
            if word == "--":
                return
            if word.startswith("-") and word != "-" and not _NUMBER.fullmatch(word):
                yield option
                action = self._option_string_actions.get(option)
                if action is not None and action.nargs is None and not assigned:
                    next(rest, None)  # its value
            elif self._subparsers is not None:
                return


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown name: what the closest known one is, and which there are."""
    names = list(known)
    closest = get_close_matches(name, names, n=1)
    question = f"; did you mean {closest[0]}?" if closest else "."
    return f"unknown {kind} {name}{question} Expected one of: {'; '.join(names)}"


def _running_module() -> str:
    """Return the command line that runs the main module. `python -m` gives the module a specification."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    name = specification.name.removesuffix(".__main__") if specification else sys.argv[0]
    return f"python -m {name}" if specification else name
