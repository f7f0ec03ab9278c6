"""Every command of the repository: its --help only helps, and it refuses an unknown option."""

import json
import os
import subprocess
import sys

import pytest

from tests.test_documents import PACKAGES, ROOT

SUBCOMMANDS = {"service": [["key"], ["key", "create"], ["key", "list"], ["key", "revoke"], ["backup"]]}
REQUIRED = {("tests.migrations.make_revision_0005",): ("folder",)}  # arguments
OPTIONS = ("--help", "--helq")
BROKEN = {
    "NORMLAB_DATABASE_URL": "banana", "NORMLAB_DATA_DIR": "/proc/x", "NORMLAB_PORT": "x", "NORMLAB_LEASE_SECONDS": "x",
    "NORMLAB_ALLOWED_HOSTS": "x",
}  # fmt: skip

# Runs each command as `python -m` does, all in one process, because importing torch takes seconds. It reports what the
# command printed, and each event by which code of the repository touches something. What a library does while it is
# imported does not count.
RUN_ALL = """
import contextlib, io, json, os, runpy, sys
touched, root, commands = [], sys.argv[1] + os.sep, json.loads(sys.argv[2])
TOUCHING = ("os.mkdir", "os.remove", "socket.connect", "socket.bind", "sqlite3.connect", "subprocess.Popen")

def writes(path, mode, flags):
    return bool(set(mode or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

def is_ours(frame):
    return frame.f_code.co_filename.startswith(root) and "site-packages" not in frame.f_code.co_filename

def watch(event, arguments):
    if event in TOUCHING or (event == "open" and writes(*arguments)):
        frame = sys._getframe()
        while frame is not None and not is_ours(frame) and "<frozen importlib" not in frame.f_code.co_filename:
            frame = frame.f_back  # packages may lie below the repository too, in .venv; an import of theirs is theirs
        if frame is not None and is_ours(frame):
            touched.append(f"{event} {arguments[:1]} by {frame.f_code.co_filename}")

sys.addaudithook(watch)
results = []
for module, *words in commands:
    touched.clear()
    sys.argv = [module, *words]
    out, errors, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as exit:
            code = exit.code
        except Exception as error:
            code = repr(error)
    results.append([code, out.getvalue(), errors.getvalue(), list(touched)])
print(json.dumps(results))
"""


def is_command(source):
    """Return whether a file's code can be run. The stand-ins for processes in tests have no main of their own."""
    return "\ndef main(" in source and '\nif __name__ == "__main__":\n' in source


def modules():
    """The modules that are commands, by name."""
    files = (file for package in PACKAGES for file in ROOT.joinpath(package).rglob("*.py"))
    paths = (file.relative_to(ROOT).with_suffix("") for file in files if is_command(file.read_text()))
    return sorted(".".join(path.parts).removesuffix(".__main__") for path in paths)


def commands():
    """Every command as words: a module and its subcommand."""
    return [(name, *words) for name in modules() for words in ([], *SUBCOMMANDS.get(name, []))]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run each command with broken settings and one option. By command and option: code, output, errors, touched."""
    given = [(*command, *REQUIRED.get(command, ()), option) for command in commands() for option in OPTIONS]
    folder = tmp_path_factory.mktemp("working directory")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NORMLAB_")}
    environment |= BROKEN | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-c", RUN_ALL, str(ROOT), json.dumps(given)],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert list(folder.iterdir()) == []
    rows = json.loads(ended.stdout.splitlines()[-1])
    return dict(zip([(command, option) for command in commands() for option in OPTIONS], rows, strict=True))


@pytest.mark.slow
class TestEveryCommand:
    def test_is_found(self):
        """The search for commands finds those of each package."""
        known = {"service", "worker", "migrations", "normlab.spec", "service.demo", "benchmarks", "tests.torture"}
        assert known < set(modules())

    @pytest.mark.parametrize("command", commands(), ids=" ".join)
    def test_help_only_helps(self, command, results):
        """--help prints the use and exits with 0. It reads no setting and touches no file, database or process."""
        code, out, errors, touched = results[command, "--help"]
        assert (code, errors, touched) == (0, "", [])
        assert out.startswith(f"usage: python -m {' '.join(command)} [-h]"), out

    @pytest.mark.parametrize("command", commands(), ids=" ".join)
    def test_unknown_option_is_refused(self, command, results):
        """An unknown option exits with 2 before a setting is read or anything is touched."""
        code, out, errors, touched = results[command, "--helq"]
        assert (code, out, touched) == (2, "", [])
        assert "--helq" in errors
