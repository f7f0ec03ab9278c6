"""The histogram kernel for CUDA devices, in Triton: one pass over memory where torch's operators take ten.

Triton comes with PyTorch's CUDA builds. Counts are integers, so atomic increments give the same result in any order.
Sums are added up in an order that depends on the number of values alone.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from normcore.histograms.histogram import BIN_COUNT, SHIFT
from normcore.histograms.torch_operators import DeviceHistogram

BLOCK = 2048  # values that a program reads at once
PROGRAMS = 512  # the maximum: about four for each multiprocessor of the largest devices
TABLES = 8  # programs alternate between them, so that increments of one bin seldom wait for each other

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
    sums = values.new_empty((2, programs), dtype=torch.float64)
    turns = -(-blocks // programs)
    with torch.cuda.device_of(values):  # type: ignore[no-untyped-call]
        _count[(programs,)](
            values.view(torch.int32), len(values), turns, tables, special, extremes, sums, BLOCK=BLOCK, TABLES=TABLES
        )
    return DeviceHistogram(
        counts=tables.sum(0),
        special=special.sum(0),
        extremes=torch.stack([extremes[0].amin(), extremes[1].amax()]),
        sums=sums.sum(1),
    )


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

    x: the bits of n float32 values. tables: TABLES × BIN_COUNT int32 zeros. special: programs × 5. extremes and sums:
    2 × programs.
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
    total = tl.zeros((), tl.float64)
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
        least = tl.minimum(least, tl.min(tl.where(finite, value, float("inf"))))
        greatest = tl.maximum(greatest, tl.max(tl.where(finite, value, float("-inf"))))
        exact = tl.where(finite, value, 0.0).to(tl.float64)
        total += tl.sum(exact)
        squares += tl.sum(exact * exact)
    tl.store(special + program * 5 + 0, positive_zeros)
    tl.store(special + program * 5 + 1, negative_zeros)
    tl.store(special + program * 5 + 2, nans)
    tl.store(special + program * 5 + 3, positive_infinities)
    tl.store(special + program * 5 + 4, negative_infinities)
    tl.store(extremes + program, least)
    tl.store(extremes + programs + program, greatest)
    tl.store(sums + program, total)
    tl.store(sums + programs + program, squares)
