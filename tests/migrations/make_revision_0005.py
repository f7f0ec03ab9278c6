"""Make revision_0005.json: the database of a service and workers of revision 0005, with experiments in every state.

    git worktree add /tmp/normlab-0005 e889026
    python -m tests.migrations.make_revision_0005 /tmp/normlab-0005 > tests/migrations/revision_0005.json

It starts the processes of that checkout, sends requests to its service, and kills its workers. It imports nothing of
normlab. The dump is a JSON object: the processor and the tables, each a list of rows. A binary value is {"base64": …}.
"""

import argparse
import base64
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SERVICE = "http://127.0.0.1:18005"
STARTED: list[subprocess.Popen[bytes]] = []
TINY = {
    "dataset": "digits", "image_size": 16, "train_size": 80, "test_size": 20, "batch_size": 4, "epochs": 2,
    "engine": "eager", "gradient_check": False, "capture_quantities": ["weight_gradient"],
    "network": [
        {"kind": "convolution", "channels": 4, "stride": 2}, {"kind": "normalization"}, {"kind": "activation"},
        {"kind": "convolution", "channels": 4}, {"kind": "sum", "shortcut": 2}, {"kind": "mean_pool"},
        {"kind": "linear", "features": 10},
    ],
}  # fmt: skip
LONG = TINY | {"train_size": 200, "epochs": 24, "capture_every": 6, "checkpoint_seconds": 0.05}  # 1200 steps

SPECS = {
    "succeeded": TINY | {
        "name": "thresholds", "tags": ["old", "small"], "group": "first", "normalization": "filter_response",
        "memory": "lean", "weight_std": 0.1, "gradient_check": True, "seed": 7,
    },
    "original": TINY
    | {"protocol": "original", "normalization": "instance", "capture_quantities": ["weight", "update"]},
    "diverged": TINY | {"optimizer": "sgd", "learning_rate": 10.0, "weight_std": 10.0, "seed": 1, "activation": "elu"},
    "unreadable": TINY | {"dataset": "folder", "folder": "absent", "gradient_check": True},
    "cancelled": LONG | {"normalization": "layer"},
    "paused": LONG | {"normalization": "batch", "weight_std": 0.1, "memory": "lean", "seed": 3, "name": "paused"},
    "running": LONG | {"normalization": "filter_response", "affine": True, "gradient_check": True, "seed": 2**32 - 1},
    "asked": LONG | {"normalization": "rms", "group": "first", "max_run_seconds": 1000.0},
    "queued": {
        "dataset": "digits", "image_size": 16, "train_size": 40, "test_size": 20, "epochs": 1, "gradient_check": False,
        "name": "waiting", "group": "second", "priority": 5, "tags": ["late"],
    },
}  # fmt: skip


def main() -> None:
    """Make the database and print its dump."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.migrations.make_revision_0005",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkout", help="a work tree of revision 0005")
    checkout = parser.parse_args().checkout
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "normlab.db")
        os.environ.update(
            PYTHONPATH=checkout, OMP_NUM_THREADS="1", NORMLAB_DATABASE_URL=f"sqlite:///{file}",
            NORMLAB_DATA_DIR=folder, NORMLAB_POLL_SECONDS="0.05",
        )  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "service", "key", "create", "--scope", "read", "--name", "old"],
            cwd=checkout, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        try:
            service = start("service", "--no-worker", "--port", "18005")
            wait(is_ready)
            fill()
            service.terminate()
            service.wait()
        finally:
            for process in STARTED:
                kill(process)
        print(dump(file))


def fill() -> None:
    """Bring one experiment of each spec into the state that names it."""
    worker = start("worker")
    ids = {name: post(name) for name in ("succeeded", "original", "diverged", "unreadable", "cancelled")}
    wait(lambda: ask("GET", ids["cancelled"])["progress"]["epoch"] > 2)
    ask("POST", ids["cancelled"] + "/cancel")
    ids["paused"] = post("paused")
    wait(lambda: ask("GET", ids["paused"])["progress"]["epoch"] > 4)
    ask("POST", ids["paused"] + "/pause")
    wait(lambda: ask("GET", ids["paused"])["status"] == "paused")
    ids["running"] = post("running")
    wait(lambda: ask("GET", ids["running"])["progress"]["epoch"] > 2)
    worker.terminate()  # it stores a checkpoint and returns the experiment to the queue
    worker.wait()
    worker = start("worker")
    wait(lambda: ask("GET", ids["running"])["attempt"] == 2)
    released_at = ask("GET", ids["running"])["progress"]["epoch"]
    wait(lambda: ask("GET", ids["running"])["progress"]["epoch"] > released_at + 1)
    kill(worker)
    worker = start("worker")
    ids["asked"] = post("asked")
    wait(lambda: ask("GET", ids["asked"])["progress"]["epoch"] > 2)
    kill(worker)
    ask("POST", ids["asked"] + "/pause")
    ids["queued"] = post("queued")
    for name, location in ids.items():
        print(name, ask("GET", location)["status"], file=sys.stderr)


def start(*command: str) -> subprocess.Popen[bytes]:
    """Start a process of the old checkout, in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=os.environ["PYTHONPATH"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    STARTED.append(process)
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those it started at once, with SIGKILL."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def post(name: str) -> str:
    """Queue an experiment and return its path."""
    return f"/experiments/{ask('POST', '/experiments', SPECS[name], key=f'key of {name}')['id']}"


def ask(method: str, path: str, body: object = None, key: str = "") -> dict:
    """Send a request and return the JSON of its answer."""
    headers = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVICE + path, content, headers, method=method)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def is_ready() -> bool:
    """Return whether the service answers."""
    try:
        return bool(ask("GET", "/readyz"))
    except OSError:
        return False


def wait(condition) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not become true")
        time.sleep(0.02)


def dump(file: Path) -> str:
    """Return the processor and the tables of a SQLite file as JSON, one row a line."""
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    parts = [f'"processor": {json.dumps(processor())}']
    for (name,) in names.fetchall():
        rows = [
            json.dumps({column: portable(value, file.parent) for column, value in zip(row.keys(), row, strict=True)})
            for row in connection.execute(f"SELECT * FROM {name}")
        ]
        parts.append(f'"{name}": [\n' + ",\n".join(rows) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}"


def portable(value: object, folder: Path) -> object:
    """Return a value as JSON can hold it, without the names of this machine and of the folder."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return value.replace(str(folder), "data").replace(platform.node(), "lab") if isinstance(value, str) else value


def processor() -> str:
    """Return the processor's maker, family, model and name. The last bits of a training depend on them."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().split("\n\n")[0].splitlines() if information.exists() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return " ".join(fields.get(name, "") for name in ("vendor_id", "cpu family", "model", "model name"))


if __name__ == "__main__":
    main()
