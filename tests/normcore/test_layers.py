"""What each layer does besides its derivative: padding, statistics, the transforms' peers, the histogram."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import boxcox1p

from normcore import (
    Adam,
    BatchNorm,
    BoxCox,
    Convolution,
    InstanceNorm,
    LayerNorm,
    Network,
    ReLU,
    RunningStatistics,
    histogram,
)
from service.experiments.histograms import CODES, edges


def running(*shape, var=0.0):
    return RunningStatistics(torch.zeros(shape), torch.full(shape, var), 0.9)


def test_same_padding_at_stride_two_puts_its_zeros_at_the_bottom_and_right_alone():
    corner = torch.zeros(1, 1, 3, 3)
    corner[0, 0, 2, 2] = 1  # picks the bottom right pixel under the kernel
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    out, _ = Convolution(corner, stride=2).forward(x)
    assert out.tolist() == [[[[10, 0], [0, 0]]]]


def test_the_studys_strides_make_48_24_12_6_6_6_of_96():
    x, sizes = torch.zeros(1, 3, 96, 96), []
    for stride in (2, 2, 2, 2, 1, 1):
        x, _ = Convolution(torch.zeros(3, 3, 3, 3), stride=stride).forward(x)
        sizes.append(x.shape[-1])
    assert sizes == [48, 24, 12, 6, 6, 6]


def test_a_kernel_larger_than_its_padded_image_is_refused():
    with pytest.raises(ValueError, match="5×5 kernel does not fit 3×3"):
        Convolution(torch.zeros(1, 1, 5, 5), padding=0).forward(torch.zeros(1, 1, 3, 3))


def test_batch_norm_averages_its_batches_and_uses_the_averages_at_test_time():
    layer = BatchNorm(running(1, 2, 1, 1), eps=1e-8)
    x = torch.randn(4, 2, 3, 3) * 2 + 1
    layer.forward(x)
    mean, var = 0.1 * x.mean((0, 2, 3)), 0.1 * x.var((0, 2, 3), correction=0)
    torch.testing.assert_close(layer.running.mean.flatten(), mean)
    torch.testing.assert_close(layer.running.var.flatten(), var)
    wanted = (x - mean[:, None, None]) / (var[:, None, None] + 1e-8).sqrt()
    torch.testing.assert_close(layer.infer(x), wanted)
    torch.testing.assert_close(layer.running.mean.flatten(), mean)  # the test pass moves nothing


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (LayerNorm(slots=running(4, 1, 1, 1)), (1, 2, 3)),
        (InstanceNorm(slots=running(4, 2, 1, 1)), (2, 3)),
    ],
    ids=["layer", "instance"],
)
def test_the_originals_statistics_belong_to_the_images_slot_in_the_batch(layer, axes):
    first, short = torch.randn(4, 2, 3, 3), torch.randn(2, 2, 3, 3)
    layer.forward(first)
    layer.forward(short)  # moves two slots only
    m1, m2 = first.mean(axes, keepdim=True), short.mean(axes, keepdim=True)
    torch.testing.assert_close(layer.slots.mean[2:], 0.1 * m1[2:])
    torch.testing.assert_close(layer.slots.mean[:2], 0.09 * m1[:2] + 0.1 * m2)
    # At test time an image is normalized by whoever sat in its slot: the same image, two places, two results.
    image = torch.randn(1, 2, 3, 3).expand(4, 2, 3, 3)
    out = layer.infer(image)
    assert not torch.allclose(out[0], out[3])
    torch.testing.assert_close(out[:2], layer.infer(image[:2]))
    with pytest.raises(ValueError, match="4 slots cannot normalize 5 images"):
        layer.infer(torch.zeros(5, 2, 3, 3))


def test_layer_and_instance_norm_by_the_book_do_at_test_time_what_they_do_in_training():
    x = torch.randn(3, 2, 4, 4)
    for layer in (LayerNorm(), InstanceNorm()):
        assert torch.equal(layer.infer(x), layer.forward(x)[0])
        assert layer.buffers() == {}


@pytest.mark.parametrize("lam", [2.0, 1.0, 0.5, 1e-9, 0.0, -0.5])
def test_box_cox_is_scipys(lam):
    x = torch.rand(50, dtype=torch.float64) * 10
    out, _ = BoxCox(torch.tensor(lam, dtype=torch.float64)).forward(x)
    np.testing.assert_allclose(out.numpy(), boxcox1p(x.numpy(), lam), rtol=1e-12)


def test_the_originals_lambda_gradient_is_the_mean_over_the_elements():
    x, dout = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    lam = torch.tensor(2.0)
    gradients = []
    for kind in ("sum", "mean"):
        layer = BoxCox(lam, lambda_gradient=kind)
        gradients.append(layer.backward(dout, layer.forward(x)[1])[1]["lam"])
    torch.testing.assert_close(gradients[1] * x.numel(), gradients[0])


def test_adam_is_torchs_over_twenty_steps():
    ours = torch.randn(5, dtype=torch.float64)
    theirs = ours.clone().requires_grad_()
    adam = Adam({"w": ours}, learning_rate=0.01, eps=1e-9)
    peer = torch.optim.Adam([theirs], lr=0.01, eps=1e-9)
    for _ in range(20):
        gradient = torch.randn(5, dtype=torch.float64)
        adam.step({"w": gradient})
        theirs.grad = gradient
        peer.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-14)


def test_adam_with_constant_correction_divides_by_one_minus_beta_at_every_step():
    w = torch.zeros(1, dtype=torch.float64)
    adam = Adam({"w": w}, learning_rate=0.01, eps=1e-9, bias_correction="constant")
    adam.step({"w": torch.tensor([2.0], dtype=torch.float64)})
    first = -0.01 * 2.0 / (2.0 + 1e-9)
    assert w.item() == pytest.approx(first, rel=1e-12)
    adam.step({"w": torch.tensor([1.0], dtype=torch.float64)})
    m, v = 0.9 * 0.2 + 0.1 * 1, 0.999 * 0.004 + 0.001 * 1
    second = -0.01 * (m / 0.1) / ((v / 0.001) ** 0.5 + 1e-9)
    assert w.item() == pytest.approx(first + second, rel=1e-12)


def test_the_first_nonfinite_layer_is_found():
    poisoned = torch.ones(1, 1, 1, 1) * torch.inf
    layers = [Convolution(torch.ones(1, 1, 1, 1)), ReLU(), Convolution(poisoned), ReLU()]
    assert Network(layers).first_nonfinite(torch.ones(1, 1, 2, 2)) == 2
    assert Network(layers[:2]).first_nonfinite(torch.ones(1, 1, 2, 2)) is None


@pytest.mark.parametrize(
    "values",
    [
        torch.randn(100_000),
        torch.where(torch.rand(100_000) < 0.9, 0.0, torch.randn(100_000)),
        torch.tensor([0.0, -0.0, 1e-45, -1e-45, 3.4e38, torch.nan, torch.inf, -torch.inf, -torch.inf, 1.0]),
        torch.randn(8, 6, 4).transpose(0, 2),
    ],
    ids=["random", "90%-zero", "extremes", "not-contiguous"],
)
def test_a_histogram_counts_every_value_in_the_bin_of_its_leading_bits(values):
    counted = histogram(values)
    raw = values.numpy().ravel()
    wanted = np.bincount(raw.view(np.uint32) >> 18 if raw.flags.c_contiguous else raw.copy().view(np.uint32) >> 18,
                         minlength=CODES)  # fmt: skip
    assert counted.counts.tolist() == wanted.tolist()
    finite = raw[np.isfinite(raw)]
    assert int(counted.positive_zeros + counted.negative_zeros) == (raw == 0).sum()
    assert int(counted.negative_zeros) == ((raw == 0) & np.signbit(raw)).sum()
    assert int(counted.nans) == np.isnan(raw).sum()
    assert (int(counted.positive_infinities), int(counted.negative_infinities)) == (
        np.isposinf(raw).sum(), np.isneginf(raw).sum(),
    )  # fmt: skip
    assert (float(counted.minimum), float(counted.maximum)) == (finite.min(), finite.max())
    assert float(counted.total) == pytest.approx(finite.astype(np.float64).sum(), abs=1e-9)
    low, high = edges()
    for code in counted.counts.nonzero().flatten().tolist():
        if np.isfinite(low[code]) and np.isfinite(high[code]):
            assert ((finite >= low[code]) & (finite <= high[code])).any()


def autograd_in(source):
    """What a source does with autograd, if anything."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if name in ("requires_grad", "requires_grad_", "autograd", "enable_grad", "Parameter", "grad"):
                found.append(name)
        if isinstance(node, ast.keyword) and node.arg == "requires_grad":
            found.append(node.arg)
        # Our backward takes the output's gradient; a backward of nothing is autograd's.
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward":
            found += [] if node.args else ["backward()"]
        if isinstance(node, ast.ImportFrom) and "autograd" in (node.module or ""):
            found.append(node.module)
    return found


@pytest.mark.parametrize("package", ["normcore", "worker"])
def test_nothing_in_the_training_path_uses_autograd(package):
    sources = sorted(Path(__file__).parents[2].joinpath(package).rglob("*.py"))
    assert len(sources) > 5
    assert {path.name: found for path in sources if (found := autograd_in(path.read_text()))} == {}


@pytest.mark.parametrize(
    "line", ["loss.backward()", "x = torch.zeros(3, requires_grad=True)", "class F(torch.autograd.Function): pass"]
)
def test_the_reader_of_sources_finds_autograd_where_it_is(line):
    assert autograd_in(line)
