"""The progress lines of long commands."""

import subprocess
import sys
import time

import pytest

from normlab.process.progress import INTERVAL_SECONDS, ProgressLines


class TestLine:
    @pytest.mark.parametrize(
        ("total", "done", "doing", "line"),
        [
            (None, 0, "", "storm: 30 s so far"),
            (None, 0, "imports", "storm: imports, 30 s so far"),
            (40, 0, "imports", "storm: imports, 0 of 40 faults, 30 s so far"),
            (40, 10, "", "storm: 10 of 40 faults, 30 s so far, about 90 s left"),
            (20_000, 20_000, "", "storm: 20,000 of 20,000 faults, 30 s so far"),
            (40, 50, "", "storm: 50 of 40 faults, 30 s so far"),
        ],
    )
    def test_says_what_is_done_and_left(self, total, done, doing, line):
        """The line has what the command does, how much is done, and the seconds left once something is done."""
        progress = ProgressLines("storm", total, "faults")
        progress.done, progress.doing = done, doing
        assert progress.line(30.0) == line


class TestLines:
    def test_first_at_once_and_then_repeated(self, capsys):
        """The first line comes at once, others in the interval, all on standard error, and none after the end."""
        with ProgressLines("storm", 4, "faults", interval_seconds=0.02) as progress:
            assert capsys.readouterr().err == "storm: 0 of 4 faults, 0 s so far\n"
            for number in progress.each([1, 2], lambda number: f"fault {number}"):
                time.sleep(0.1)
                assert f"storm: fault {number}, {number - 1} of 4 faults" in capsys.readouterr().err
        assert (capsys.readouterr().out, progress.done) == ("", 2)
        time.sleep(0.1)
        assert capsys.readouterr() == ("", "")

    def test_failed_command_ends_its_lines(self, capsys):
        """After an error in the command no further line is printed."""
        with pytest.raises(ZeroDivisionError), ProgressLines("storm", interval_seconds=0.02):
            raise ZeroDivisionError
        capsys.readouterr()
        time.sleep(0.1)
        assert capsys.readouterr().err == ""

    def test_interval_is_at_most_ten_seconds(self):
        """A command that is watched shows that it works at least every ten seconds."""
        assert INTERVAL_SECONDS <= 10


@pytest.mark.slow
class TestCommands:
    def test_benchmarks_say_what_they_measure(self):
        """The benchmarks say at once what they measure and how much is left."""
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            own = (line for line in process.stderr if line.startswith("bench: "))  # PyTorch may warn in between
            lines = [line for _, line in zip(range(2), own, strict=False)]
            process.kill()
        assert lines[0].startswith("bench: 0 of 23 cases, 0 s so far")
        assert lines[1].startswith("bench: a training step, 20 images, none, 0 of 23 cases, ")
