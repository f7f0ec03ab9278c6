"""`python -m benchmarks`: measure everything, print it as tables, and store it as JSON and Markdown."""

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import capture, epochs, histograms, memory, peers, steps
from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from worker.run.malloc import keep_freed_memory
from worker.training import device as devices

RESULTS = Path(__file__).parent / "results"

Measure = Callable[[torch.device, ProgressLines], list[dict[str, Any]]]

PARTS: dict[str, tuple[str, Measure]] = {
    "steps": (
        "A training step of the study's network: milliseconds, medians; the implementations alternate",
        steps.measure,
    ),
    "capture": ("What a capture at every step adds, 20 images, batch normalization", capture.measure),
    "memory": (f"Activation memory, {memory.BATCH} images", memory.measure),
    "epochs": ("An epoch at STL-10's size, 5,000 training and 8,000 test images: seconds", epochs.measure),
    "histograms": (f"A histogram of {histograms.VALUES:,} values", histograms.measure),
}
CASES = len(steps.CASES) + 1 + 2 * len(peers.VARIANTS) + len(histograms.DATA_SETS)  # of all parts


def main() -> None:
    """Measure all parts, one after another, on the best device of this machine."""
    CommandParser(description=main.__doc__).parse_args()
    keep_freed_memory()  # as the worker does; the peers run in the same process, so they gain from it too
    device, began = devices.choose("auto"), time.perf_counter()
    machine = _machine(device)
    results: dict[str, Any] = {"machine": machine}
    lines = [f"# {machine['name']}\n", *(f"- {key}: {value}" for key, value in machine.items())]
    with ProgressLines("bench", CASES, "cases") as progress:
        for name, (title, measure) in PARTS.items():
            results[name] = measure(device, progress)
            lines += ["", f"## {title}\n", *_table([_flat(row) for row in results[name]])]
            print("\n".join(lines[-len(results[name]) - 3 :]), flush=True)
    lines.append(f"\nMeasured in {time.perf_counter() - began:.0f} s by `make bench`.")
    RESULTS.mkdir(exist_ok=True)
    stem = f"{device.type}-{machine['name'].lower().replace(' ', '-')}"
    RESULTS.joinpath(f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    RESULTS.joinpath(f"{stem}.md").write_text("\n".join(lines) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s; stored as {RESULTS / stem}.json and .md")


def _machine(device: torch.device) -> dict[str, Any]:
    name = f"{torch.get_num_threads()} cores" if device.type == "cpu" else devices.name(device)
    return {
        "name": name,
        "processor": _processor(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Return the processor's model name from /proc/cpuinfo. Without one, return what Python knows of it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with a column for each candidate's median."""
    timings = row.get("milliseconds")
    if not isinstance(timings, Mapping):
        return dict(row)
    rest = {key: value for key, value in row.items() if key != "milliseconds"}
    head = {key: rest.pop(key) for key in ("variant", "batch")}
    return head | {name: timing["median"] for name, timing in timings.items()} | rest


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |" for row in rows]


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if 0.999 < value < 1.05 else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
