"""`make demo` as a newcomer runs it: the whole study, its pictures and its table; and that it can be interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

VARIANTS = ("none", "batch", "layer", "instance", "box_cox")
GIFS = ("weight_gradient", "input_gradient", "weight", "weight_minus_gradient")
ROW = re.compile(r"│ (\w+) +│ +([\d.]+)% │ +([\d.]+)% │ +([\d.]+)% │ +([\d.]+)% │ +([\d.]+)% │")


def demo(*options, out):
    return [sys.executable, "-m", "service.demo", "--out", str(out), *options]


@pytest.mark.timeout(900)
def test_the_demo_trains_every_variant_draws_its_pictures_and_ends(tmp_path):
    ended = subprocess.run(demo(out=tmp_path), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    wanted = {f"{variant}/{name}.gif" for variant in VARIANTS for name in GIFS}
    wanted |= {f"{variant}/summary.png" for variant in VARIANTS} | {"train-accuracy.png", "test-accuracy.png"}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} == wanted
    for path in tmp_path.rglob("*.gif"):
        with Image.open(path) as gif:
            assert gif.n_frames == 20

    rows = {name: tuple(map(float, figures)) for name, *figures in ROW.findall(ended.stdout)}
    assert tuple(rows) == VARIANTS
    for first, last, *_ in rows.values():
        assert last - first >= 30
    assert rows["batch"][2] > 97
    assert "27 figures in" in ended.stdout


@pytest.mark.skipif(not Path("/proc/1/stat").exists(), reason="who started whom is read from Linux's /proc")
@pytest.mark.parametrize("how", ["ctrl-C", "terminated"])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path, how):
    process = subprocess.Popen(
        demo(out=tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # As a terminal starts it: in the background of a script, where tests may run, a ctrl-C is not heeded.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert "normlab serves on" in process.stdout.readline()
    children = descendants(process.pid)
    while len(children) < 2:  # the service, and the worker it keeps
        time.sleep(0.1)
        children = descendants(process.pid)
    if how == "ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does, to all that run in it
    else:
        process.terminate()
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode != 0
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def descendants(pid):
    """The processes that this one started, and those that they started, as Linux tells them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found[1:]
