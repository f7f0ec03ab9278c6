"""`make demo` as a new user runs it: it trains the study, writes figures and a table, and can be interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

VARIANTS = ("none", "batch", "layer", "instance", "box_cox")
GIFS = ("weight_gradient", "input_gradient", "weight", "weight_minus_gradient")
ROW = re.compile(r"│ (\w+) +│ +([\d.]+)% │ +([\d.]+)% │ +([\d.]+)% │ +([\d.]+)% │ +([\d.]+)% │")


def demo(*options, out):
    return [sys.executable, "-m", "service.demo", "--out", str(out), *options]


class TestDemo:
    @pytest.mark.timeout(900)
    def test_trains_every_variant_and_writes_its_figures(self, tmp_path):
        """The demo trains all variants, writes an animation per quantity, and prints a table of accuracies."""
        result = subprocess.run(demo(out=tmp_path), capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr

        expected = {f"{variant}/{name}.gif" for variant in VARIANTS for name in GIFS}
        expected |= {f"{variant}/summary.png" for variant in VARIANTS} | {"train-accuracy.png", "test-accuracy.png"}
        assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} == expected
        for path in tmp_path.rglob("*.gif"):
            with Image.open(path) as gif:
                assert gif.n_frames == 20

        rows = {name: tuple(map(float, figures)) for name, *figures in ROW.findall(result.stdout)}
        assert tuple(rows) == VARIANTS
        for first, last, *_ in rows.values():
            assert last - first >= 30
        assert rows["batch"][2] > 97
        assert "27 figures in" in result.stdout

        lines = re.findall(r"^demo: .*of 100 epochs, (\d+) s so far", result.stderr, flags=re.MULTILINE)
        seconds = list(map(int, lines))
        assert seconds[0] == 0
        assert all(later - earlier <= 10 for earlier, later in pairwise(seconds))

    @pytest.mark.skipif(not Path("/proc/1/stat").exists(), reason="reads parents of processes from Linux's /proc")
    @pytest.mark.parametrize("how", ["ctrl-C", "terminated"])
    def test_interrupted_leaves_no_process(self, tmp_path, how):
        """An interrupted demo ends its service and its worker, and prints no traceback."""
        process = subprocess.Popen(
            demo(out=tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # As a terminal starts it. In the background of a script, where tests may run, a ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert "normlab serves on" in process.stdout.readline()
        children = descendants(process.pid)
        while len(children) < 2:  # the service and its worker
            time.sleep(0.1)
            children = descendants(process.pid)
        if how == "ctrl-C":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole process group
        else:
            process.terminate()
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        assert process.returncode != 0
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def descendants(pid):
    """Return the ids of the processes that this one has started, and of those that they have started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has just ended
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    family = [pid]
    for ancestor in family:
        family += [child for child, parent in parents.items() if parent == ancestor]
    return family[1:]
