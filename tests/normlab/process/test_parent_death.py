"""A child process ends when its parent ends, even if the parent is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments import until

# A parent that starts a child, prints the child's process id once the child is ready, and waits.
PARENT = """
import subprocess, sys, time

child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(100)
"""
READY = "\nprint('ready', flush=True)\nimport time\ntime.sleep(100)"
CHILDREN = {
    "die_with_parent": "from normlab.process.parent_death import die_with_parent\ndie_with_parent()",
    "exit_without_parent": "import os\nfrom normlab.process.parent_death import exit_without_parent\n"
    "exit_without_parent(os.getppid())",
    "when_stdin_closes": "import os\nfrom normlab.process.parent_death import when_stdin_closes\n"
    "when_stdin_closes(lambda: os._exit(0))",
}


def is_alive(pid):
    """Return whether a process runs. One that has ended but that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start(child):
    """Start a parent with a child of this code. Return the parent's process and the child's process id."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, child + READY], stdout=subprocess.PIPE, text=True)
    return parent, int(parent.stdout.readline())


def kill(parent):
    parent.kill()
    parent.wait()
    parent.stdout.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads Linux's /proc")
class TestChild:
    """A child that uses one of the three functions, and one that uses none."""

    @pytest.mark.parametrize("child", CHILDREN.values(), ids=CHILDREN)
    def test_ends_with_a_killed_parent(self, child):
        """The child ends within seconds after its parent is killed, and not before."""
        parent, pid = start(child)
        try:
            time.sleep(1.5)  # longer than exit_without_parent waits between two checks
            assert is_alive(pid)
        finally:
            kill(parent)
        until(lambda: not is_alive(pid), seconds=10)

    def test_outlives_its_parent_otherwise(self):
        """A child that uses none of them outlives its killed parent, so the tests above can fail."""
        parent, pid = start("")
        kill(parent)
        time.sleep(1.5)
        assert is_alive(pid)
        os.kill(pid, signal.SIGKILL)


class TestStandardInput:
    """when_stdin_closes."""

    def test_reads_and_ignores_what_is_written(self):
        """What the parent writes is ignored. The function is called once standard input closes."""
        code = "from normlab.process.parent_death import when_stdin_closes\n"
        code += "import threading\nclosed = threading.Event()\nwhen_stdin_closes(closed.set)\n"
        code += "print(closed.wait(1), flush=True)\nprint(closed.wait(60), flush=True)"
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        process.stdin.write("some\nlines\n")
        process.stdin.flush()
        assert process.stdout.readline() == "False\n"
        assert process.communicate(timeout=60)[0] == "True\n"
        assert process.returncode == 0
