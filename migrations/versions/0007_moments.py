"""The mean and the squared deviations of a histogram instead of its sums, and bins of finer layouts.

Sums of squares lose the digits in which values that are far from 0 differ. Where the old sums have lost them, the
squared deviations are limited to what the exact extremes allow; the lost digits do not come back.

It reads and rewrites every histogram, in batches. The bins stay those of five mantissa bits: finer ones were not
counted. The version before cannot use the schema afterwards. It was never published. Both formats of the bins are
written out here, because the store has only the newest one.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op
from numpy.typing import NDArray

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BATCH = 500  # histograms read at once
VERSION, HEADER = 1, 5  # of the new format: version, top exponent, top bits, bytes of a gap and of a count
BITS = 5  # mantissa bits of the old bins
KEY = ("experiment_id", "quantity", "step", "layer")
OLD, NEW = ("total", "total_of_squares"), ("finite", "mean", "squared_deviations")

histograms = sa.table(
    "histograms", *(sa.column(name) for name in (*KEY, "zeros", "minimum", "maximum", *OLD, *NEW)),
    sa.column("bins", sa.LargeBinary),
)  # fmt: skip
Bins = tuple[NDArray[np.int64], NDArray[np.int64]]  # indices of 14 leading bits, and counts


def upgrade() -> None:
    op.add_column("histograms", sa.Column("finite", sa.BigInteger(), nullable=True))
    op.add_column("histograms", sa.Column("mean", sa.Double(), nullable=True))
    op.add_column("histograms", sa.Column("squared_deviations", sa.Double(), nullable=True))
    _rewrite(OLD, _with_moments)
    with op.batch_alter_table("histograms") as batch_op:
        batch_op.alter_column("finite", existing_type=sa.BigInteger(), nullable=False)
        batch_op.alter_column("squared_deviations", existing_type=sa.Double(), nullable=False)
        for name in OLD:
            batch_op.drop_column(name)


def downgrade() -> None:
    for name in OLD:
        op.add_column("histograms", sa.Column(name, sa.Double(), nullable=True))
    _rewrite(NEW, _with_sums)
    with op.batch_alter_table("histograms") as batch_op:
        for name in OLD:
            batch_op.alter_column(name, existing_type=sa.Double(), nullable=False)
        for name in NEW:
            batch_op.drop_column(name)


def _rewrite(columns: tuple[str, ...], rewritten: Callable[[Any], Mapping[str, Any]]) -> None:
    """Rewrite every histogram, a batch at a time. columns: those that are read besides the bins and the extremes."""
    update = histograms.update().where(*(histograms.c[name] == sa.bindparam(f"key_{name}") for name in KEY))
    for batch in _batches((*KEY, "zeros", "minimum", "maximum", "bins", *columns)):
        values = [rewritten(row) for row in batch]
        keys = [{f"key_{name}": row[name] for name in KEY} for row in batch]
        named = update.values({name: sa.bindparam(f"new_{name}") for name in values[0]})
        op.get_bind().execute(
            named,
            [
                key | {f"new_{name}": value for name, value in each.items()}
                for key, each in zip(keys, values, strict=True)
            ],
        )


def _batches(columns: tuple[str, ...]) -> Iterator[list[Any]]:
    key = sa.tuple_(*(histograms.c[name] for name in KEY))
    query = sa.select(*(histograms.c[name] for name in columns)).order_by(*(histograms.c[name] for name in KEY))
    last: tuple[Any, ...] | None = None
    while True:
        after = query if last is None else query.where(key > sa.tuple_(*(sa.literal(value) for value in last)))
        batch = list(op.get_bind().execute(after.limit(BATCH)).mappings())
        if not batch:
            return
        yield batch
        last = tuple(batch[-1][name] for name in KEY)


def _with_moments(row: Mapping[str, Any]) -> dict[str, Any]:
    index, counts = _unpack_old(row["bins"])
    finite = int(counts.sum()) + row["zeros"]
    moments: dict[str, Any] = {"finite": finite, "mean": None, "squared_deviations": 0.0}
    if finite:
        spread = row["maximum"] - row["minimum"]
        squares = row["total_of_squares"] - row["total"] ** 2 / finite
        moments["mean"] = min(max(row["total"] / finite, row["minimum"]), row["maximum"])
        # The two extremes alone deviate by spread² / 2. No values deviate by more than half at each extreme do.
        moments["squared_deviations"] = min(max(squares, spread**2 / 2), finite * spread**2 / 4)
    return moments | {"bins": _pack_new(index, counts)}


def _with_sums(row: Mapping[str, Any]) -> dict[str, Any]:
    total = row["finite"] * (row["mean"] or 0.0)
    return {
        "total": total,
        "total_of_squares": total * (row["mean"] or 0.0) + row["squared_deviations"],
        "bins": _pack_old(*_unpack_new(row["bins"])),
    }


def _unpack_old(packed: bytes) -> Bins:
    raw = zlib.decompress(packed)
    bins = len(raw) // 6
    gaps, counts = np.frombuffer(raw, "<u2", bins), np.frombuffer(raw, "<u4", bins, offset=2 * bins)
    return np.cumsum(gaps.astype(np.int64)), counts.astype(np.int64)


def _pack_old(index: NDArray[np.int64], counts: NDArray[np.int64]) -> bytes:
    gaps = np.diff(index, prepend=0)
    return zlib.compress(gaps.astype("<u2").tobytes() + counts.astype("<u4").tobytes(), 6)


def _pack_new(index: NDArray[np.int64], counts: NDArray[np.int64]) -> bytes:
    # With five bits in every octave, the numbers of the new bins are the old indices.
    top_exponent = int(((index >> BITS) & 0xFF).max(initial=0))
    gaps = np.diff(index, prepend=0)
    sizes = [max(1, (int(each.max(initial=0)).bit_length() + 7) // 8) for each in (gaps, counts)]
    planes = [each.astype("<i8").view(np.uint8).reshape(-1, 8).T for each in (gaps, counts)]
    body = b"".join(each[:size].tobytes() for each, size in zip(planes, sizes, strict=True))
    return bytes([VERSION, top_exponent, BITS, *sizes]) + zlib.compress(body, 6)


def _unpack_new(packed: bytes) -> Bins:
    _, top_exponent, top_bits, gap_size, count_size = packed[:HEADER]
    planes = np.frombuffer(zlib.decompress(packed[HEADER:]), np.uint8).reshape(gap_size + count_size, -1)
    gaps, counts = (
        sum((plane.astype(np.int64) << 8 * rank for rank, plane in enumerate(each)), np.zeros(each.shape[1], np.int64))
        for each in (planes[:gap_size], planes[gap_size:])
    )
    bits = np.tile(np.clip(top_bits - top_exponent + np.arange(256), BITS, top_bits), 2)
    first = np.cumsum(1 << bits) - (1 << bits)  # the number of each octave's first bin
    numbers = np.cumsum(gaps)
    octaves = np.searchsorted(first, numbers, side="right") - 1
    fine = (octaves << BITS) + ((numbers - first[octaves]) >> (bits[octaves] - BITS))
    starts = np.flatnonzero(np.diff(fine, prepend=-1))
    return fine[starts], np.add.reduceat(counts, starts) if len(starts) else counts
