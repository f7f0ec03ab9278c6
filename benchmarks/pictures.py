"""`python -m benchmarks.pictures`: how far the statistics and the 50-bin pictures of generated tensors are off.

For each kind of distribution and each size: the largest error of the standard deviation relative to a two-pass sum in
float64 with more digits, the largest and the mean fraction of values that a picture counts in a wrong bin of
numpy.histogram's 50, and the stored bytes relative to bins of five mantissa bits in the format before.
"""

import statistics
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from normcore.histograms import histogram
from normlab.process.command_line import CommandParser
from normlab.store.histograms import Histogram
from worker.training.capture import to_stored

Values = NDArray[np.float64]
Generator = np.random.Generator

SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 10_000_000)
PICTURE_BINS = 50


def _mixture(rng: Generator, n: int) -> Values:
    """Two to five normal distributions of different scales and means, spread about 0."""
    parts = rng.integers(2, 6)
    scale, mean = 10.0 ** rng.uniform(-3, 0, parts), rng.normal(size=parts)
    part = rng.choice(parts, n, p=rng.dirichlet(np.ones(parts)))
    values: Values = mean[part] * rng.choice([-1, 1], n) + scale[part] * rng.normal(size=n)
    return values


KINDS: dict[str, Callable[[Generator, int], Values]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "uniform, one side": lambda rng, n: rng.uniform(0, 1, n),
    "Laplace": lambda rng, n: rng.laplace(size=n),
    "Student t(3)": lambda rng, n: rng.standard_t(3, n),
    "log-normal": lambda rng, n: rng.lognormal(0, 1, n),
    "normal, 90 % zero": lambda rng, n: np.where(rng.random(n) < 0.9, 0, rng.normal(size=n)),
    "ReLU of a normal": lambda rng, n: np.maximum(rng.normal(size=n), 0),
    "mixture": _mixture,
}


class Measured(NamedTuple):
    """The relative error of std, the fraction of values in a wrong bin, and the stored bytes in both formats."""

    std_error: float
    wrong_bin: float
    stored_bytes: int
    bytes_at_five_bits: int


def main() -> None:
    """Generate the tensors and print a row for each kind and size, and the worst of all."""
    parser = CommandParser(description=main.__doc__)
    parser.add_argument("--tensors", type=int, default=10_000)
    parser.add_argument("--max-size", type=int, default=SIZES[-1])
    arguments = parser.parse_args()
    rng, began = np.random.default_rng(13), time.monotonic()
    sizes = [size for size in SIZES if size <= arguments.max_size]
    print("| kind | values | tensors | std error | wrong bin, most | wrong bin, mean | bytes | relative |")
    print("|---|---|---|---|---|---|---|---|")
    worst = []
    for size, tensors in zip(sizes, _tensors_of_each(sizes, arguments.tensors), strict=True):
        for kind, generate in KINDS.items():
            rows = [measure(scaled(rng, generate(rng, size))) for _ in range(tensors)]
            std, wrong, stored, before = zip(*rows, strict=True)
            worst.append((max(std), max(wrong)))
            print(
                f"| {kind} | {size:,} | {tensors} | {max(std):.1e} | {max(wrong):.2%} | {statistics.mean(wrong):.3%}"
                f" | {statistics.mean(stored):,.0f} | {sum(stored) / sum(before):.2f} |",
                flush=True,
            )
    count = sum(_tensors_of_each(sizes, arguments.tensors)) * len(KINDS)
    std_error, wrong_bin = (max(each) for each in zip(*worst, strict=True))
    print(f"\n{count:,} tensors in {time.monotonic() - began:.0f} s: std within {std_error:.1e} of the two-pass value,")
    print(f"at most {wrong_bin:.2%} of the values in a wrong one of {PICTURE_BINS} bins")


def _tensors_of_each(sizes: list[int], tensors: int) -> list[int]:
    """Return how many tensors of each kind to generate of each size: fewer of the large ones, which take longer."""
    weights = [min(1.0, 10_000 / size) for size in sizes]
    return [max(1, round(tensors * weight / sum(weights) / len(KINDS))) for weight in weights]


def scaled(rng: Generator, values: Values) -> NDArray[np.float32]:
    """Return the values times a random power of 10."""
    scaled: NDArray[np.float32] = (values * 10.0 ** rng.uniform(-30, 30)).astype(np.float32)
    return scaled


def measure(values: NDArray[np.float32]) -> Measured:
    """Return how a tensor's stored histogram differs from numpy's."""
    stored = to_stored(histogram(torch.from_numpy(values)))
    expected, edges = np.histogram(values.astype(np.float64), PICTURE_BINS)
    wrong = float(np.abs(stored.rebin(edges) - expected).sum()) / 2 / len(values)
    return Measured(_std_error(stored, values), wrong, len(stored.to_bytes()), _bytes_at_five_bits(values))


def _std_error(stored: Histogram, values: NDArray[np.float32]) -> float:
    exact = values.astype(np.longdouble)
    deviations = exact - exact.mean()
    variance = ((deviations**2).sum() - deviations.sum() ** 2 / len(values)) / len(values)
    std = float(np.sqrt(variance))
    assert stored.std is not None
    return abs(stored.std - std) / std if std else stored.std


def _bytes_at_five_bits(values: NDArray[np.float32]) -> int:
    """Return the size of bins of five mantissa bits, packed as 16-bit gaps and 32-bit counts."""
    index, counts = np.unique(values[values != 0].view(np.uint32) >> 18, return_counts=True)
    gaps = np.diff(index, prepend=0).astype("<u2")
    return len(zlib.compress(gaps.tobytes() + counts.astype("<u4").tobytes(), 6))


if __name__ == "__main__":
    main()
