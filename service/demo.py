"""`make demo`: train the study's five variants on real images and save the figures under demo/, in a few minutes.

It starts `python -m service` with a local worker, posts, waits and fetches over HTTP as any client does, and stops the
service.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines

VARIANTS = ("none", "batch", "layer", "instance", "box_cox")
GIFS = ("weight_gradient", "input_gradient", "weight", "weight_minus_gradient")
ENDED = ("succeeded", "failed", "cancelled")
POLL_SECONDS = 0.5


def main() -> None:
    """Run the demo; exit 1 if an experiment did not succeed."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="epochs of each training")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder for the figures")
    arguments = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(128 + number)
    )  # the exit runs the code that stops the service
    try:
        _run(arguments.epochs, arguments.out)
    except KeyboardInterrupt:
        sys.exit("interrupted; the service is stopped")


def _run(epochs: int, out: Path) -> None:
    console, began = Console(), time.monotonic()
    lines = ProgressLines("demo", epochs * len(VARIANTS), "epochs")
    with (
        nullcontext() if console.is_terminal else lines,  # a terminal shows bars
        tempfile.TemporaryDirectory(prefix="normlab-") as scratch,
        _service(Path(scratch)) as client,
    ):
        console.print(f"normlab serves on {client.base_url}; posting {len(VARIANTS)} experiments on UCI digits")
        ids = {variant: _post(client, variant, epochs) for variant in VARIANTS}
        ended = _watch(client, ids, console, lines)
        failed = [experiment for experiment in ended.values() if experiment["status"] != "succeeded"]
        for experiment in failed:
            console.print(f"experiment {experiment['id']} {experiment['status']}: {experiment['error']}", style="red")
        if failed:
            sys.exit(1)
        saved = _save_figures(client, ids, out, console, lines)
        console.print(_table(client, ids))
    console.print(f"{saved} figures in {out.resolve()}; the demo took {time.monotonic() - began:.0f} s")


@contextmanager
def _service(scratch: Path) -> Iterator[httpx2.Client]:
    """Run a service with an empty database on a free port, and yield its client. At the end, stop it and its worker."""
    environment = os.environ | {
        "NORMLAB_DATABASE_URL": f"sqlite:///{scratch / 'normlab.db'}",
        "NORMLAB_DATA_DIR": str(scratch),
        "NORMLAB_LOCAL_WORKER": "true",
        "NORMLAB_HOST": "127.0.0.1",
    }
    log_path = scratch / "service.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # a ctrl-C in the terminal reaches the demo alone, which then stops the service
        )
        try:
            assert process.stdout is not None
            first_line = next((line for line in process.stdout if "serves on " in line), "")
            if not first_line:
                sys.exit(f"the service did not start:\n{log_path.read_text()}")
            with httpx2.Client(base_url=first_line.split("serves on ")[1].strip(), timeout=120) as client:
                yield client
        finally:
            process.terminate()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _post(client: httpx2.Client, variant: str, epochs: int) -> int:
    response = client.post("/experiments", json={"dataset": "digits", "normalization": variant, "epochs": epochs})
    response.raise_for_status()
    return int(response.json()["id"])


def _watch(
    client: httpx2.Client, ids: dict[str, int], console: Console, lines: ProgressLines
) -> dict[str, dict[str, Any]]:
    """Show the progress of every experiment until all have ended, and return them by variant."""
    columns = (TextColumn("{task.description:>9}"), BarColumn(), TextColumn("{task.fields[news]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {
            variant: bars.add_task(variant, start=False, total=1.0, news="queued") for variant in ids
        }
        ended: dict[str, dict[str, Any]] = {}
        epochs: dict[str, int] = {}
        while len(ended) < len(ids):
            for variant in [variant for variant in ids if variant not in ended]:
                experiment = _get(client, f"/experiments/{ids[variant]}")
                if experiment["status"] != "queued":
                    bars.start_task(tasks[variant])
                progress = experiment["progress"]
                epochs[variant] = progress["epochs_done"]
                bars.update(
                    tasks[variant],
                    completed=progress["epochs_done"] / progress["epochs"],
                    news=f"{experiment['status']}, {progress['epochs_done']} of {progress['epochs']} epochs",
                )
                if experiment["status"] in ENDED:
                    bars.stop_task(tasks[variant])
                    ended[variant] = experiment
                    if not console.is_terminal:
                        console.print(f"{variant}: {experiment['status']} after {progress['epochs_done']} epochs")
            lines.done = sum(epochs.values())
            time.sleep(POLL_SECONDS)
    return ended


def _save_figures(client: httpx2.Client, ids: dict[str, int], out: Path, console: Console, lines: ProgressLines) -> int:
    """Save the summary and four GIFs of each variant and the two accuracy comparisons. Return the number of files."""
    figures = [
        (out / variant / figure, f"/experiments/{experiment}/plots/{figure}")
        for variant, experiment in ids.items()
        for figure in ("summary.png", *(f"{name}.gif" for name in GIFS))
    ]
    every = ",".join(map(str, ids.values()))
    figures += [
        (out / f"{split}-accuracy.png", f"/plots/{split}-accuracy.png?experiments={every}")
        for split in ("train", "test")
    ]
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as bars:
        task = bars.add_task("rendering", total=len(figures))
        for number, (path, url) in enumerate(figures, start=1):
            lines.doing = f"render figure {number} of {len(figures)}"
            response = client.get(url)
            response.raise_for_status()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(response.content)
            bars.advance(task)
    return len(figures)


def _table(client: httpx2.Client, ids: dict[str, int]) -> Table:
    """Return a table of accuracies, of the fractions of nonzero weight gradients, and of durations."""
    table = Table(title="UCI digits: accuracy, and the fraction of weight gradients that are not 0")
    table.add_column("\nnormalization", no_wrap=True)
    for heading in (
        "train,\nepoch 0",
        "train,\nlast",
        "test,\nlast",
        "dL/dW ≠ 0,\nlayer 1",
        "dL/dW ≠ 0,\nlayer 6",
        "\nseconds",
    ):
        table.add_column(heading, justify="right")
    for variant, experiment in ids.items():
        rows = _get(client, f"/experiments/{experiment}/metrics")["metrics"]
        seconds = sum(row["train_seconds"] + row["test_seconds"] for row in rows)
        layers = _get(client, f"/experiments/{experiment}/layers?quantity=weight_gradient&epoch={rows[-1]['epoch']}")
        nonzero = [1 - row["zeros"] / row["count"] for row in layers["layers"]]
        table.add_row(
            variant,
            f"{rows[0]['train_accuracy']:.1%}",
            f"{rows[-1]['train_accuracy']:.1%}",
            f"{rows[-1]['test_accuracy']:.1%}",
            f"{nonzero[0]:.1%}",
            f"{nonzero[-1]:.1%}",
            f"{seconds:.1f}",
        )
    return table


def _get(client: httpx2.Client, url: str) -> dict[str, Any]:
    response = client.get(url)
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


if __name__ == "__main__":
    main()
