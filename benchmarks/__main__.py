"""`python -m benchmarks`: measure everything, print it as tables, and keep it as JSON and Markdown."""

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import counting, epochs, looking, memory, steps
from worker.run.malloc import keep_freed_memory
from worker.training import device as devices

RESULTS = Path(__file__).parent / "results"

PARTS: dict[str, tuple[str, Callable[[torch.device], list[dict[str, Any]]]]] = {
    "steps": ("A training step of the study's network: milliseconds, medians by turns", steps.measure),
    "looking": ("What looking at every step adds, 20 images, batch normalization", looking.measure),
    "memory": (f"Activation memory, {memory.BATCH} images", memory.measure),
    "epochs": ("An epoch at STL-10's size, 5,000 training and 8,000 test images: seconds", epochs.measure),
    "counting": (f"Counting {counting.VALUES:,} values", counting.measure),
}


def main() -> None:
    """All parts, one after another, on the best device here."""
    keep_freed_memory()  # as the worker does; the peers run in the same process and have the good of it too
    device, began = devices.choose("auto"), time.perf_counter()
    found: dict[str, Any] = {"machine": _machine(device)}
    pages = [f"# {found['machine']['name']}\n", *(f"- {key}: {value}" for key, value in found["machine"].items())]
    for name, (title, measure) in PARTS.items():
        found[name] = measure(device)
        pages += ["", f"## {title}\n", *_table([_flat(row) for row in found[name]])]
        print("\n".join(pages[-len(found[name]) - 3 :]), flush=True)
    pages.append(f"\nMeasured in {time.perf_counter() - began:.0f} s by `make bench`.")
    RESULTS.mkdir(exist_ok=True)
    stem = f"{device.type}-{found['machine']['name'].lower().replace(' ', '-')}"
    RESULTS.joinpath(f"{stem}.json").write_text(json.dumps(found, indent=1) + "\n")
    RESULTS.joinpath(f"{stem}.md").write_text("\n".join(pages) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s; kept as {RESULTS / stem}.json and .md")


def _machine(device: torch.device) -> dict[str, Any]:
    name = f"{torch.get_num_threads()} cores" if device.type == "cpu" else devices.name(device)
    return {
        "name": name,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    """By its own name, where Linux tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A column for each candidate's median."""
    timed = row.get("milliseconds")
    if not isinstance(timed, Mapping):
        return dict(row)
    rest = {key: value for key, value in row.items() if key != "milliseconds"}
    head = {key: rest.pop(key) for key in ("variant", "batch")}
    return head | {name: timing["median"] for name, timing in timed.items()} | rest


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
