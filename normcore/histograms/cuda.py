"""The histogram kernel for CUDA devices, in Triton: one pass over memory where torch's operators take ten.

Triton comes with PyTorch's CUDA builds. Counts are integers, so atomic increments give the same result in any order.
Sums are added up in an order that depends on the number of values alone.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from normcore.histograms.histogram import BIN_COUNT, SHIFT
from normcore.histograms.octaves import compact
from normcore.histograms.torch_operators import DeviceHistogram

BLOCK = 2048  # values that a program reads at once
PROGRAMS = 512  # the maximum: about four for each multiprocessor of the largest devices
TABLES = 2  # programs alternate between them, so that increments of one bin seldom wait for each other
SUMS = 5  # float64 sums of each program

BIN_MASK = tl.constexpr(BIN_COUNT - 1)
BIN_SHIFT = tl.constexpr(SHIFT)
TABLE = tl.constexpr(BIN_COUNT)
EXPONENT = tl.constexpr(0x7F800000)  # all its bits set: an infinity, or with lower bits a NaN
UNSIGNED = tl.constexpr(0x7FFFFFFF)


def count(x: Tensor) -> DeviceHistogram:
    """Count the values of x, of any shape, on its CUDA device, without a wait for it."""
    values = x.detach().to(torch.float32).flatten()
    blocks = -(-len(values) // BLOCK)
    programs = max(1, min(blocks, PROGRAMS))
    tables = values.new_zeros((TABLES, BIN_COUNT), dtype=torch.int32)
    special = values.new_empty((programs, 5), dtype=torch.int32)
    extremes = values.new_empty((2, programs))
    sums = values.new_empty((SUMS, programs), dtype=torch.float64)
    turns = -(-blocks // programs)
    with torch.cuda.device_of(values):  # type: ignore[no-untyped-call]
        _count[(programs,)](
            values.view(torch.int32), len(values), turns, tables, special, extremes, sums, BLOCK=BLOCK, TABLES=TABLES
        )
    least_and_greatest = torch.stack([extremes[0].amin(), extremes[1].amax()])
    return DeviceHistogram(
        counts=compact(tables.sum(0, dtype=torch.int32), least_and_greatest),
        special=special.sum(0),
        extremes=least_and_greatest,
        moments=_combined(*sums),
    )


def _combined(finite: Tensor, total: Tensor, shift: Tensor, deviation: Tensor, squares: Tensor) -> Tensor:
    """Return the mean and the sum of the squared deviations from it, of the programs' sums, each of shape (programs,).

    Each program's deviation is moved to the first program's shift. Then it is Chan's formula (Chan, Golub and LeVeque
    1983). The difference of two float32 values is exact in float64, or as good as exact.
    """
    count = finite.sum().clamp(min=1)
    first = shift.index_select(0, finite.gt(0).to(torch.uint8).argmax().view(1))
    moved = torch.where(finite > 0, shift - first + deviation, 0.0)
    differences = moved - (finite * moved).sum() / count
    return torch.stack([total.sum() / count, squares.sum() + (finite * differences.square()).sum()])


@triton.jit  # type: ignore[untyped-decorator]
def _count(
    x: tl.tensor,
    n: tl.tensor,
    turns: tl.tensor,
    tables: tl.tensor,
    special: tl.tensor,
    extremes: tl.tensor,
    sums: tl.tensor,
    BLOCK: tl.constexpr,
    TABLES: tl.constexpr,
) -> None:
    """Count every block whose number is the program's own plus a multiple of the number of programs.

    x: the bits of n float32 values. tables: TABLES × BIN_COUNT int32 zeros. special: programs × 5. extremes: 2 ×
    programs. sums: SUMS × programs; of the finite values their number and total, a shift that is one of them, the mean
    deviation from it, and the squared deviations from their mean.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    table = tables + program % TABLES * TABLE
    lanes = tl.arange(0, BLOCK)
    positive_zeros = tl.zeros((), tl.int32)
    negative_zeros = tl.zeros((), tl.int32)
    nans = tl.zeros((), tl.int32)
    positive_infinities = tl.zeros((), tl.int32)
    negative_infinities = tl.zeros((), tl.int32)
    least = tl.full((), float("inf"), tl.float32)
    greatest = tl.full((), float("-inf"), tl.float32)
    finite_count = tl.zeros((), tl.float64)
    total = tl.zeros((), tl.float64)
    shift = tl.zeros((), tl.float64)
    deviation = tl.zeros((), tl.float64)
    squares = tl.zeros((), tl.float64)
    for turn in range(turns):
        index = (program.to(tl.int64) + turn * programs) * BLOCK + lanes
        valid = index < n
        bits = tl.load(x + index, mask=valid, other=0)
        size = bits & UNSIGNED
        zero, finite, infinite = valid & (size == 0), valid & (size < EXPONENT), valid & (size == EXPONENT)
        positive_zeros += tl.sum((zero & (bits >= 0)).to(tl.int32))
        negative_zeros += tl.sum((zero & (bits < 0)).to(tl.int32))
        nans += tl.sum((valid & (size > EXPONENT)).to(tl.int32))
        positive_infinities += tl.sum((infinite & (bits >= 0)).to(tl.int32))
        negative_infinities += tl.sum((infinite & (bits < 0)).to(tl.int32))
        tl.atomic_add(table + (bits >> BIN_SHIFT & BIN_MASK), 1, mask=finite & (size != 0), sem="relaxed")
        value = bits.to(tl.float32, bitcast=True)
        block_least = tl.min(tl.where(finite, value, float("inf")))
        least = tl.minimum(least, block_least)
        greatest = tl.maximum(greatest, tl.max(tl.where(finite, value, float("-inf"))))
        exact = tl.where(finite, value, 0.0).to(tl.float64)
        block_count = tl.sum(finite.to(tl.int32)).to(tl.float64)
        total += tl.sum(exact)
        # The shift is the least value of the first block that has a finite one. It is finite whenever it is used.
        shift = tl.where((finite_count == 0) & (block_count > 0), block_least.to(tl.float64), shift)
        # Chan's formula adds the block to the blocks before: its mean deviation, and the squares about its own mean.
        difference = tl.where(finite, exact - shift, 0.0)
        block_deviation = tl.sum(difference) / tl.maximum(block_count, 1.0)
        residual = tl.where(finite, difference - block_deviation, 0.0)
        together = tl.maximum(finite_count + block_count, 1.0)
        step = block_deviation - deviation
        squares += tl.sum(residual * residual) + step * step * (finite_count * block_count / together)
        deviation += step * (block_count / together)
        finite_count += block_count
    tl.store(special + program * 5 + 0, positive_zeros)
    tl.store(special + program * 5 + 1, negative_zeros)
    tl.store(special + program * 5 + 2, nans)
    tl.store(special + program * 5 + 3, positive_infinities)
    tl.store(special + program * 5 + 4, negative_infinities)
    tl.store(extremes + program, least)
    tl.store(extremes + programs + program, greatest)
    tl.store(sums + program, finite_count)
    tl.store(sums + programs + program, total)
    tl.store(sums + 2 * programs + program, shift)
    tl.store(sums + 3 * programs + program, deviation)
    tl.store(sums + 4 * programs + program, squares)
