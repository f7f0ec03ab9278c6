"""The histogram kernels and the sorting of small tensors, compared with numpy.

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

from normcore import Histogram, histograms
from normcore.histograms import exact, fetch, native, torch_operators
from normcore.histograms.histogram import MANTISSA_BITS
from normlab.store.histogram_bins import BinLayout, coarsened
from tests import factories
from tests.factories import moments_of

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
    "the lowest octaves": randn(5000) * 1e-44,
    "the largest octave": torch.rand(5000, generator=generator) * 3.4e38,
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
KERNELS = {
    "by torch's operators": lambda values: fetch([torch_operators.count(values)])[0],
    "by sorting": exact.count,
    "by sorting later": lambda values: fetch([exact.copy(values)])[0],
}
if native.library() is not None:
    KERNELS["by the native kernel"] = native.count
if INTERPRETED or torch.cuda.is_available():
    KERNELS["by Triton"] = by_triton


@pytest.fixture(params=KERNELS.values(), ids=KERNELS)
def histogram(request):
    return request.param


def stored_bins(patterns, counts, largest):
    """The bins that all kernels tell apart: the leading bits, one bit less in each octave below the largest value's."""
    top_exponent = int(np.float32(largest).view(np.uint32)) >> 23
    return coarsened(patterns, counts, BinLayout(top_exponent, MANTISSA_BITS))


def bins_of(counted):
    """The bins of a counted histogram."""
    patterns = counted.bin_index << (23 - counted.mantissa_bits)
    return stored_bins(patterns, counted.counts, max(abs(counted.minimum), abs(counted.maximum)))


def far_from_zero(spreads, n=40_000):
    """Values whose mean is so many standard deviations: two neighbours of float32, the upper one seldom."""
    upper = (torch.arange(n) % max(2, round((spreads / 2**23) ** 2)) == 1).float()
    return 2.0**23 + upper


HARD = {
    "two neighbours far from zero": torch.cat([torch.full((500,), 1e6), torch.full((500,), 1e6 + 1 / 16)]),
    "one value often": torch.full((51_200,), 0.1),
    "1e7 spreads from zero": far_from_zero(1e7),
    "1e8 spreads from zero": far_from_zero(1e8),
    "1e9 spreads from zero": far_from_zero(1e9),
    "mean 1, spread 1e-4": 1 + 1e-4 * randn(30_000),
    "an outlier first": torch.cat([torch.tensor([1e6]), randn(30_000)]),
    "a large outlier first": torch.cat([torch.tensor([-1e30]), 1 + 1e-3 * randn(30_000)]),
    "an outlier last": torch.cat([randn(30_000), torch.tensor([1e9])]),
    "not finite first": torch.cat([torch.tensor([torch.nan, torch.inf, -torch.inf] * 3000), 7 + randn(10_000)]),
    "not finite among them": torch.where(torch.rand(50_000, generator=generator) < 0.3, torch.nan, 5 + randn(50_000)),
    "huge": 1e38 * torch.clamp(randn(50_000), -3, 3),
    "tiny": 1e-38 * randn(50_000),
    "denormal": 1e-43 * randn(50_000),
    "smallest": torch.tensor([1e-45, 0.0]).repeat(300),
    "both ends": torch.tensor([1e-45, 3.4e38, -3.4e38]),
    "one": torch.tensor([-2.5]),
    "zeros": torch.zeros(70_000),
    "falling": torch.linspace(1e4, 1e-4, 30_000),
}


class TestMoments:
    def test_extremes_and_moments_are_of_the_finite_values(self, values, histogram):
        """The extremes, the mean and the squared deviations are those of the finite values."""
        assert_moments(histogram(values), values)

    @pytest.mark.parametrize("hard", HARD.values(), ids=HARD)
    def test_deviations_are_those_of_two_passes(self, hard, histogram):
        """The standard deviation is within 1e-12 of two passes, however far from 0 the values are, or how large."""
        assert_moments(histogram(hard), hard)

    @pytest.mark.parametrize("value", [0.1, 1e6, -3e38, 1e-45, 0.0])
    def test_equal_values_have_no_deviation(self, value, histogram):
        """The squared deviations of equal values are exactly 0."""
        assert histogram(torch.full((51_200,), value)).squared_deviations == 0

    def test_moments_of_integers_are_exact(self, histogram):
        """The moments of integers are exact, beyond float32's precision too."""
        counted = histogram(torch.arange(1, 1001, dtype=torch.float32))
        assert (counted.mean, counted.squared_deviations) == (500.5, 83_333_250)
        # In float32 the sum of 2²⁴ and 1 is 2²⁴.
        assert histogram(torch.tensor([2.0**24, 1.0])).mean == (2**24 + 1) / 2


def assert_moments(counted, values):
    """Compare the extremes and the moments with those of two passes with more digits than float64's."""
    raw = bits_of(values).view(np.float32)
    finite = raw[np.isfinite(raw)]
    expected = moments_of(finite)
    assert counted.finite == finite.size
    assert (counted.minimum, counted.maximum) == (finite.min(), finite.max())
    assert counted.mean == pytest.approx(expected["mean"], rel=1e-14, abs=1e-14 * np.abs(finite, dtype=float).mean())
    std = np.sqrt(counted.squared_deviations / finite.size)
    assert std == pytest.approx(np.sqrt(expected["squared_deviations"] / finite.size), rel=1e-12, abs=0)
    squares = finite.size * counted.mean**2 + counted.squared_deviations
    assert squares == pytest.approx((finite.astype(np.float64) ** 2).sum(), rel=1e-12)


class TestNativeKernel:
    @pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler here")
    def test_result_is_independent_of_the_thread_count(self):
        """The native kernel counts and totals the same with any number of threads."""
        values, threads, counted = randn(300_000) + 3, torch.get_num_threads(), []
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
        raw = bits_of(values).view(np.float32)
        finite = raw[np.isfinite(raw)]
        patterns, counts = np.unique(finite[finite != 0].view(np.uint32), return_counts=True)
        counted = histogram(values)
        np.testing.assert_array_equal(bins_of(counted), stored_bins(patterns, counts, np.abs(finite).max()))
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
        assert counted.counts.sum() == counted.nans == counted.mean == counted.squared_deviations == 0
        assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)

    def test_counts_are_the_same_in_every_order(self, values, histogram):
        """Counts are the same on every run and in every order of the values."""
        first, again = histogram(values), histogram(values)
        flat = values.flatten()
        shuffled = histogram(flat[torch.randperm(len(flat), generator=generator)])
        for field in Histogram._fields:
            np.testing.assert_array_equal(getattr(first, field), getattr(again, field), field)
            if field not in ("mean", "squared_deviations"):
                np.testing.assert_array_equal(getattr(first, field), getattr(shuffled, field), field)

    def test_without_finite_values_extremes_are_infinite(self, histogram):
        """Without a finite value the extremes are infinite and the moments are 0."""
        counted = histogram(torch.tensor([torch.nan, torch.inf, -torch.inf]))
        assert (counted.minimum, counted.maximum) == (torch.inf, -torch.inf)
        assert (counted.mean, counted.squared_deviations) == (0, 0)

    def test_other_precisions_are_rounded_to_float32(self, histogram):
        """Values of other precisions are rounded to float32 before they are counted."""
        precise = torch.randn(1000, dtype=torch.float64, generator=generator)
        np.testing.assert_array_equal(bins_of(histogram(precise)), bins_of(histogram(precise.to(torch.float32))))
        assert histogram(torch.tensor([1e300], dtype=torch.float64)).positive_infinities == 1

    def test_values_are_not_changed(self, histogram):
        """Counting does not change the values."""
        values = TENSORS["every kind"].clone()
        histogram(values)
        assert torch.equal(values.view(torch.int32), TENSORS["every kind"].view(torch.int32))


class TestSmallTensors:
    """Tensors whose values are sorted."""

    def test_every_value_has_a_bin(self):
        """Each distinct value of a small tensor has a bin of its own, and larger tensors are counted by a kernel."""
        values = randn(exact.MAX_VALUES)
        counted = histograms.histogram(values)
        assert counted.mantissa_bits == 23
        np.testing.assert_array_equal(np.sort(counted.bin_index.view(np.float32)), np.unique(values.numpy()))
        assert histograms.histogram(randn(exact.MAX_VALUES + 1)).mantissa_bits == MANTISSA_BITS

    def test_copies_do_not_follow_their_tensor(self):
        """Values that wait for their fetch are those at the time of the copy."""
        values = torch.ones(5)
        copy = exact.copy(values)
        values.zero_()
        assert fetch([copy])[0].mean == 1

    def test_histograms_of_all_kinds_are_fetched_in_order(self):
        """A fetch returns counted, sorted and copied histograms in the order of the tensors."""
        tensors = [torch.full((n,), float(n)) for n in (3, 5, 7, 9)]
        counted = [exact.copy(tensors[0]), torch_operators.count(tensors[1]), exact.count(tensors[2])]
        assert [each.mean for each in fetch([*counted, exact.copy(tensors[3])])] == [3, 5, 7, 9]

    def test_factory_counts_as_normcore_does(self):
        """The histograms that the tests arrange have the bins that normcore counts."""
        assert (factories.SORTED_VALUES, factories.KERNEL_BITS) == (exact.MAX_VALUES, MANTISSA_BITS)


def bits_of(values):
    return np.ascontiguousarray(values.numpy()).reshape(-1).view(np.uint32)
