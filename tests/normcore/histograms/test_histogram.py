"""Counting by leading bits: beside numpy, and beside the bins that normlab.store draws from.

The CUDA kernel is counted with where there is a CUDA device, and by Triton's interpreter where TRITON_INTERPRET is set:
test_the_cuda_kernel_passes_all_of_this_when_interpreted sets it, in a process of its own.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import normlab.store.histograms as stored
from normcore import Histogram, histograms
from normcore.histograms import fetch, native, torch_operators
from normcore.histograms.histogram import CODES, MANTISSA_BITS, SHIFT, bin_index

generator = torch.Generator().manual_seed(11)


def randn(*shape):
    return torch.randn(shape, generator=generator)


EVERY_KIND = [0.0, -0.0, 1e-45, -1e-45, 1e-40, 1.1754944e-38, 3.4e38, -3.4e38, 1.0, -1.0, torch.nan]
TENSORS = {
    "random": randn(100_000),
    "wide": randn(50_000) * torch.exp(20 * randn(50_000)),
    "90 % zero": torch.where(torch.rand(100_000, generator=generator) < 0.9, 0.0, randn(100_000)),
    "denormal": randn(10_000) * 1e-39,
    "zeros of both signs": torch.tensor([0.0, -0.0, -0.0]),
    "every kind": torch.tensor([*EVERY_KIND, torch.inf, torch.inf, -torch.inf]),
    "all bits": torch.randint(-(2**31), 2**31, (100_000,), generator=generator).to(torch.int32).view(torch.float32),
    "a scalar": torch.tensor(-2.5),
    "four axes": randn(4, 3, 5, 6),
    "transposed": randn(8, 6, 4).transpose(0, 2),
    "every other": randn(40, 40)[::2, 1::3],
    "expanded": randn(4, 1, 1).expand(4, 6, 6),
    "a crop of images with channels last": randn(5, 33, 33, 7).permute(0, 3, 1, 2)[:, :, 1:, :31],
    "a crop of larger images": randn(20, 49, 49, 16).permute(0, 3, 1, 2)[:, :, :48, :48],
    "one value often": torch.full((70_000,), 0.3),
}


@pytest.fixture(params=TENSORS.values(), ids=TENSORS)
def values(request):
    return request.param


def by_the_kernel(values):
    from normcore.histograms import cuda

    if INTERPRETED:
        cuda.PROGRAMS = 3  # so that each takes several turns, which otherwise a million values would need
        return fetch([cuda.count(values)])[0]
    return fetch([cuda.count(values.cuda())])[0]


INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
COUNTERS = {"by torch's operators": lambda values: fetch([torch_operators.count(values)])[0]}
if native.library() is not None:
    COUNTERS["by the loop"] = native.count
if INTERPRETED or torch.cuda.is_available():
    COUNTERS["by the kernel"] = by_the_kernel


@pytest.fixture(params=COUNTERS.values(), ids=COUNTERS)
def histogram(request):
    return request.param


def dense(counted):
    """Counts by code, zeros and what is not finite put back into their bins."""
    counts = np.zeros(CODES, np.int64)
    counts[counted.codes] = counted.counts
    counts[0] += counted.positive_zeros
    counts[CODES // 2] += counted.negative_zeros
    return counts


def test_every_finite_value_is_counted_in_the_bin_of_its_leading_bits(values, histogram):
    bits = bits_of(values)
    found, counts = np.unique(bits[np.isfinite(bits.view(np.float32))] >> stored.SHIFT, return_counts=True)
    wanted = np.zeros(stored.CODES, np.int64)
    wanted[found] = counts
    counted = histogram(values)
    np.testing.assert_array_equal(dense(counted), wanted)
    assert (counted.counts > 0).all()
    assert (np.diff(counted.codes.astype(int)) > 0).all()


def test_zeros_nans_and_infinities_are_counted_apart_by_sign(values, histogram):
    bits, counted = bits_of(values), histogram(values)
    assert counted.positive_zeros == (bits == 0x00000000).sum()
    assert counted.negative_zeros == (bits == 0x80000000).sum()
    assert counted.positive_infinities == (bits == 0x7F800000).sum()
    assert counted.negative_infinities == (bits == 0xFF800000).sum()
    assert counted.nans == ((bits & 0x7FFFFFFF) > 0x7F800000).sum()


def test_extremes_and_totals_are_those_of_the_finite_values(values, histogram):
    counted, raw = histogram(values), bits_of(values).view(np.float32)
    finite = raw[np.isfinite(raw)].astype(np.float64)
    assert (counted.minimum, counted.maximum) == (finite.min(), finite.max())
    assert counted.total == pytest.approx(finite.sum(), rel=1e-12, abs=1e-13 * np.abs(finite).sum())
    assert counted.total_of_squares == pytest.approx((finite**2).sum(), rel=1e-12)


def test_integers_are_totalled_exactly(histogram):
    counted = histogram(torch.arange(1, 1001, dtype=torch.float32))
    assert (counted.total, counted.total_of_squares) == (500_500, 333_833_500)
    # In float32 the one would be lost beside 2²⁴.
    assert histogram(torch.tensor([2.0**24, 1.0])).total == 2**24 + 1


def test_a_tensor_of_nothing_has_a_histogram_of_nothing(histogram):
    counted = histogram(torch.empty(0, 3, 4, 4))
    assert counted.counts.sum() == counted.nans == counted.total == 0
    assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)


def test_the_counts_are_the_same_on_every_run_and_in_every_order(values, histogram):
    first, again = histogram(values), histogram(values)
    flat = values.flatten()
    shuffled = histogram(flat[torch.randperm(len(flat), generator=generator)])
    for field in Histogram._fields:
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field), field)
        if not field.startswith("total"):
            np.testing.assert_array_equal(getattr(first, field), getattr(shuffled, field), field)


def test_nothing_finite_leaves_the_extremes_at_infinity_and_the_totals_at_zero(histogram):
    counted = histogram(torch.tensor([torch.nan, torch.inf, -torch.inf]))
    assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)
    assert (counted.total, counted.total_of_squares) == (0, 0)


def test_other_precisions_are_rounded_to_float32_first(histogram):
    precise = torch.randn(1000, dtype=torch.float64, generator=generator)
    np.testing.assert_array_equal(dense(histogram(precise)), dense(histogram(precise.to(torch.float32))))
    assert histogram(torch.tensor([1e300], dtype=torch.float64)).positive_infinities == 1


@pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler here")
def test_the_loop_counts_and_totals_the_same_whatever_the_number_of_threads():
    values, threads, counted = TENSORS["wide"], torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            counted.append(native.count(values))
    finally:
        torch.set_num_threads(threads)
    for other in counted[1:]:
        for ours, theirs in zip(other, counted[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_without_a_compiler_torchs_operators_count(monkeypatch):
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    assert native.library.__wrapped__() is None
    monkeypatch.setattr(native, "library", lambda: None)
    assert isinstance(histograms.count(TENSORS["random"]), torch_operators.DeviceHistogram)
    assert histograms.histogram(TENSORS["random"]).counts.sum() == 100_000


def test_a_compiler_that_fails_is_no_failure_of_counting(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "FLAGS", ("--no-such-flag",))
    assert native.library.__wrapped__() is None
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.skipif(INTERPRETED, reason="this is what it runs")
def test_the_cuda_kernel_passes_all_of_this_when_interpreted():
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-k", "kernel and not larger", __file__]
    ran = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert int(re.search(r"(\d+) passed", ran.stdout)[1]) > 3 * len(TENSORS)


@pytest.mark.skipif(INTERPRETED, reason="an interpreted kernel is not compiled")
@pytest.mark.parametrize("capability", [75, 90])
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
def test_the_cuda_kernel_compiles_without_the_device_being_there(capability):
    pytest.importorskip("triton")
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from normcore.histograms import cuda

    pointers = {"x": "*i32", "tables": "*i32", "special": "*i32", "extremes": "*fp32", "sums": "*fp64"}
    constants = {"BLOCK": cuda.BLOCK, "TABLES": cuda.TABLES}
    signature = pointers | {"n": "i32", "turns": "i32"} | dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=cuda._count, signature=signature, constexprs=constants)
    compiled = compile(source, target=GPUTarget("cuda", capability, 32))
    machine_code = compiled.asm["sass"]
    assert re.search(r"\bREDG?\.", machine_code), "increments that nobody waits for"
    assert not re.search(r"\bATOMG?\.", machine_code)


def test_counting_changes_nothing_of_what_is_counted(histogram):
    values = TENSORS["every kind"].clone()
    histogram(values)
    assert torch.equal(values.view(torch.int32), TENSORS["every kind"].view(torch.int32))


def test_the_bins_are_the_ones_that_are_stored():
    assert (MANTISSA_BITS, SHIFT, CODES) == (stored.MANTISSA_BITS, stored.SHIFT, stored.CODES)


def test_every_finite_value_lies_between_the_stored_edges_of_its_bin():
    raw = bits_of(TENSORS["all bits"]).view(np.float32)
    finite = raw[np.isfinite(raw)]
    low, high = (edge[bin_index(torch.from_numpy(finite)).numpy()] for edge in stored.edges())
    # The edge nearer to zero belongs to a bin, the farther one to the next.
    assert ((low < finite) | ((low == finite) & (finite >= 0))).all()
    assert ((finite < high) | ((high == finite) & (finite <= 0))).all()


def test_the_edges_nearer_to_zero_have_the_codes_of_their_bins():
    low, high = stored.edges()
    nearer = np.where(np.arange(stored.CODES) < stored.HALF, low, high)
    nearer[stored.HALF] = -0.0
    finite = np.isfinite(nearer)
    assert finite.sum() == 2 * 255 * 32
    found = bin_index(torch.from_numpy(nearer[finite].astype(np.float32)))
    assert found.tolist() == np.flatnonzero(finite).tolist()


def bits_of(values):
    return np.ascontiguousarray(values.numpy()).reshape(-1).view(np.uint32)
