"""The messages between a supervisor and its training process."""

import pytest
from pydantic import ValidationError

from normlab.spec.lifecycle import StopReason
from normlab.store.claims import Claim
from worker.messages import COMMANDS, REPORTS, Abort, Finished, Progress, Ready, Run, Stop

CLAIM = Claim(7, 2)


@pytest.mark.parametrize("command", [Run(claim=CLAIM), *(Stop(reason=reason) for reason in StopReason), Abort()])
def test_commands_arrive_as_they_were_sent(command):
    """Each command is one line, which is read as an equal command."""
    assert command.line().count(b"\n") == 1
    assert COMMANDS.validate_json(command.line()) == command


@pytest.mark.parametrize(
    "report",
    [
        Ready(device="a device", threads=2),
        Progress(claim=CLAIM, step=3),
        Finished(claim=CLAIM, refused_write=True, must_exit=False),
    ],
)
def test_reports_arrive_as_they_were_sent(report):
    """Each report is one line, which is read as an equal report."""
    assert report.line().count(b"\n") == 1
    assert REPORTS.validate_json(report.line()) == report


def test_unknown_kinds_are_refused():
    """A report is not a command, and an unknown kind is neither."""
    for line in (Ready(device="a device", threads=2).line(), b'{"kind": "nothing"}'):
        with pytest.raises(ValidationError, match="kind"):
            COMMANDS.validate_json(line)
