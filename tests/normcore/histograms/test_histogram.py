"""The histogram kernels compared with numpy, and their bins with those of normlab.store.

The CUDA kernel runs where there is a CUDA device, and in Triton's interpreter where TRITON_INTERPRET is set, which
test_kernel_passes_these_tests_when_interpreted does in a process of its own.
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
from normcore.histograms.histogram import BIN_COUNT, MANTISSA_BITS, SHIFT, bin_index

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


def by_triton(values):
    from normcore.histograms import cuda

    if INTERPRETED:
        cuda.PROGRAMS = 3  # so that each program takes several turns without a million values
        return fetch([cuda.count(values)])[0]
    return fetch([cuda.count(values.cuda())])[0]


INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
KERNELS = {"by torch's operators": lambda values: fetch([torch_operators.count(values)])[0]}
if native.library() is not None:
    KERNELS["by the native kernel"] = native.count
if INTERPRETED or torch.cuda.is_available():
    KERNELS["by Triton"] = by_triton


@pytest.fixture(params=KERNELS.values(), ids=KERNELS)
def histogram(request):
    return request.param


def dense(counted):
    """Counts of all bins, with the zeros put into theirs."""
    counts = np.zeros(BIN_COUNT, np.int64)
    counts[counted.bin_index] = counted.counts
    counts[0] += counted.positive_zeros
    counts[BIN_COUNT // 2] += counted.negative_zeros
    return counts


class TestTotals:
    def test_extremes_and_totals_are_of_the_finite_values(self, values, histogram):
        """The extremes and totals are those of the finite values."""
        counted, raw = histogram(values), bits_of(values).view(np.float32)
        finite = raw[np.isfinite(raw)].astype(np.float64)
        assert (counted.minimum, counted.maximum) == (finite.min(), finite.max())
        assert counted.total == pytest.approx(finite.sum(), rel=1e-12, abs=1e-13 * np.abs(finite).sum())
        assert counted.total_of_squares == pytest.approx((finite**2).sum(), rel=1e-12)

    def test_integers_are_totalled_exactly(self, histogram):
        """Totals of integers are exact, beyond float32's precision too."""
        counted = histogram(torch.arange(1, 1001, dtype=torch.float32))
        assert (counted.total, counted.total_of_squares) == (500_500, 333_833_500)
        # In float32 the sum of 2²⁴ and 1 is 2²⁴.
        assert histogram(torch.tensor([2.0**24, 1.0])).total == 2**24 + 1


class TestNativeKernel:
    @pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler here")
    def test_result_is_independent_of_the_thread_count(self):
        """The native kernel counts and totals the same with any number of threads."""
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

    def test_without_a_compiler_torchs_operators_count(self, monkeypatch):
        """Without a C++ compiler torch's operators count."""
        monkeypatch.setattr(native.shutil, "which", lambda name: None)
        assert native.library.__wrapped__() is None
        monkeypatch.setattr(native, "library", lambda: None)
        assert isinstance(histograms.count(TENSORS["random"]), torch_operators.DeviceHistogram)
        assert histograms.histogram(TENSORS["random"]).counts.sum() == 100_000

    def test_failing_compiler_is_no_error(self, monkeypatch, tmp_path):
        """A compiler that fails leaves no library, and no error."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(native, "FLAGS", ("--no-such-flag",))
        assert native.library.__wrapped__() is None
        assert not list(tmp_path.rglob("*.so"))


class TestCudaKernel:
    @pytest.mark.slow
    @pytest.mark.skipif(INTERPRETED, reason="this is the process that it starts")
    def test_kernel_passes_these_tests_when_interpreted(self):
        """The CUDA kernel passes this file's tests in Triton's interpreter."""
        pytest.importorskip("triton")
        command = [sys.executable, "-m", "pytest", "-q", "-k", "Triton and not larger", __file__]
        ran = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout
        assert int(re.search(r"(\d+) passed", ran.stdout)[1]) > 3 * len(TENSORS)

    @pytest.mark.skipif(INTERPRETED, reason="an interpreted kernel is not compiled")
    @pytest.mark.parametrize("capability", [75, 90])
    @pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
    def test_kernel_compiles_without_a_device(self, capability):
        """The CUDA kernel compiles for two generations of GPUs, to increments without a wait."""
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
        assert re.search(r"\bREDG?\.", machine_code), "atomic increments without a result to wait for"
        assert not re.search(r"\bATOMG?\.", machine_code)


class TestCounts:
    def test_finite_values_are_in_the_bin_of_their_bits(self, values, histogram):
        """Each finite value is counted in the bin of its leading bits."""
        bits = bits_of(values)
        index, counts = np.unique(bits[np.isfinite(bits.view(np.float32))] >> stored.SHIFT, return_counts=True)
        wanted = np.zeros(BIN_COUNT, np.int64)
        wanted[index] = counts
        counted = histogram(values)
        np.testing.assert_array_equal(dense(counted), wanted)
        assert (counted.counts > 0).all()
        assert (np.diff(counted.bin_index.astype(int)) > 0).all()

    def test_zeros_nans_and_infinities_are_counted_apart(self, values, histogram):
        """Zeros and infinities are counted by sign and NaNs together, in no bin."""
        bits, counted = bits_of(values), histogram(values)
        assert counted.positive_zeros == (bits == 0x00000000).sum()
        assert counted.negative_zeros == (bits == 0x80000000).sum()
        assert counted.positive_infinities == (bits == 0x7F800000).sum()
        assert counted.negative_infinities == (bits == 0xFF800000).sum()
        assert counted.nans == ((bits & 0x7FFFFFFF) > 0x7F800000).sum()

    def test_empty_tensor_has_an_empty_histogram(self, histogram):
        """An empty tensor has an empty histogram."""
        counted = histogram(torch.empty(0, 3, 4, 4))
        assert counted.counts.sum() == counted.nans == counted.total == 0
        assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)

    def test_counts_are_the_same_in_every_order(self, values, histogram):
        """Counts are the same on every run and in every order of the values."""
        first, again = histogram(values), histogram(values)
        flat = values.flatten()
        shuffled = histogram(flat[torch.randperm(len(flat), generator=generator)])
        for field in Histogram._fields:
            np.testing.assert_array_equal(getattr(first, field), getattr(again, field), field)
            if not field.startswith("total"):
                np.testing.assert_array_equal(getattr(first, field), getattr(shuffled, field), field)

    def test_without_finite_values_extremes_are_infinite(self, histogram):
        """Without a finite value the extremes are infinite and the totals are 0."""
        counted = histogram(torch.tensor([torch.nan, torch.inf, -torch.inf]))
        assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)
        assert (counted.total, counted.total_of_squares) == (0, 0)

    def test_other_precisions_are_rounded_to_float32(self, histogram):
        """Values of other precisions are rounded to float32 before they are counted."""
        precise = torch.randn(1000, dtype=torch.float64, generator=generator)
        np.testing.assert_array_equal(dense(histogram(precise)), dense(histogram(precise.to(torch.float32))))
        assert histogram(torch.tensor([1e300], dtype=torch.float64)).positive_infinities == 1

    def test_values_are_not_changed(self, histogram):
        """Counting does not change the values."""
        values = TENSORS["every kind"].clone()
        histogram(values)
        assert torch.equal(values.view(torch.int32), TENSORS["every kind"].view(torch.int32))


class TestBins:
    def test_bins_are_those_of_the_store(self):
        """normcore and normlab.store have the same bins."""
        assert (MANTISSA_BITS, SHIFT, BIN_COUNT) == (stored.MANTISSA_BITS, stored.SHIFT, BIN_COUNT)

    def test_values_lie_between_the_edges_of_their_bin(self):
        """Each finite value is between the stored edges of its bin."""
        raw = bits_of(TENSORS["all bits"]).view(np.float32)
        finite = raw[np.isfinite(raw)]
        low, high = (edge[bin_index(torch.from_numpy(finite)).numpy()] for edge in stored.edges())
        # A bin's edge nearer to zero belongs to the bin, and the farther one to the next bin.
        assert ((low < finite) | ((low == finite) & (finite >= 0))).all()
        assert ((finite < high) | ((high == finite) & (finite <= 0))).all()

    def test_edges_nearer_to_zero_are_in_their_bins(self):
        """The edge of a bin that is nearer to zero belongs to the bin."""
        low, high = stored.edges()
        nearer = np.where(np.arange(BIN_COUNT) < stored.HALF, low, high)
        nearer[stored.HALF] = -0.0
        finite = np.isfinite(nearer)
        assert finite.sum() == 2 * 255 * 32
        index = bin_index(torch.from_numpy(nearer[finite].astype(np.float32)))
        assert index.tolist() == np.flatnonzero(finite).tolist()


def bits_of(values):
    return np.ascontiguousarray(values.numpy()).reshape(-1).view(np.uint32)
