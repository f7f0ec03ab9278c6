"""The parser of the commands: what is wrong with an argument, and the closest right one."""

import pytest

from normlab.process.command_line import CommandParser
from service.__main__ import _parser as service_parser

ERRORS = {
    "--prot 80": "unknown option --prot; did you mean --port? Expected one of: -h; --help; --host; --port; --no-worker",
    "--prot=80": "unknown option --prot; did you mean --port?",
    "--por 80": "unknown option --por; did you mean --port?",  # no abbreviations
    "--port 80 --no-workers": "unknown option --no-workers; did you mean --no-worker?",
    "--zzzz": "unknown option --zzzz. Expected one of:",
    "-p 80": "unknown option -p",
    "--port": "argument --port: expected one argument",
    "--port eighty": "argument --port: invalid int value: 'eighty'",
    "kye list": "argument COMMAND: unknown choice kye; did you mean key? Expected one of: key; backup",
    "key lst": "argument COMMAND: unknown choice lst; did you mean list?",
    "key create --scpoe read": "unknown option --scpoe; did you mean --scope?",
    "key create --scope reed": "argument --scope: unknown choice reed; did you mean read?",
    "key create --name --scope": "argument --name: expected one argument",
    "backup a b": "unrecognized arguments: b",
}


class TestErrors:
    @pytest.mark.parametrize(("words", "message"), ERRORS.items(), ids=ERRORS)
    def test_names_the_closest(self, words, message, capsys):
        """A wrong argument exits with 2 and a message that names it and the closest right one."""
        with pytest.raises(SystemExit) as exit_:
            service_parser().parse_args(words.split())
        assert exit_.value.code == 2
        assert f": error: {message}" in capsys.readouterr().err


class TestAccepted:
    @pytest.mark.parametrize(
        ("words", "values"),
        [
            (["--number", "-5", "x"], (-5.0, ["x"])),
            (["--number=-5"], (-5.0, [])),
            (["--number", "2", "x", "y"], (2.0, ["x", "y"])),
            (["--", "--nubmer"], (0.0, ["--nubmer"])),
            (["-"], (0.0, ["-"])),
        ],
    )
    def test_values_are_no_options(self, words, values):
        """A negative number, a dash and what follows two dashes are values."""
        parser = CommandParser(prog="p")
        parser.add_argument("--number", type=float, default=0.0)
        parser.add_argument("names", nargs="*", default=[])
        arguments = parser.parse_args(words)
        assert (arguments.number, arguments.names) == values

    def test_value_may_be_a_commands_name(self):
        """The value of an option is not taken for a subcommand."""
        arguments = service_parser().parse_args(["--host", "key", "--port", "1"])
        assert (arguments.host, arguments.port, arguments.command) == ("key", 1, None)
