"""Every layer's backward pass in float64, against autograd and against finite differences."""

import pytest
import torch
import torch.nn.functional as F

from normcore import (
    BatchNorm,
    BoxCox,
    Convolution,
    InstanceNorm,
    LayerNorm,
    MeanPool,
    Network,
    ReLU,
    RunningStatistics,
    cross_entropy,
)

EPS = 1e-8


generator = torch.Generator().manual_seed(3)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def convolution(**options):
    return Convolution(0.3 * randn(4, 3, 3, 3), **options)


def running(*shape):
    mean = torch.zeros(shape, dtype=torch.float64)
    return RunningStatistics(mean, torch.ones_like(mean), 0.9)


def boxcox(lam, **options):
    return BoxCox(torch.tensor(lam, dtype=torch.float64), **options)


def same_padded(x, weight, stride):
    rows, columns = (max((-(-n // stride) - 1) * stride + 3 - n, 0) for n in x.shape[2:])
    padded = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return F.conv2d(padded, weight, stride=stride)


def standardized(axes):
    def forward(x):
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / ((x - mean).square().mean(axes, keepdim=True) + EPS).sqrt()

    return forward


def powered(x, lam, denominator_eps=0.0):
    return ((1 + x) ** lam - 1) / (lam + denominator_eps)


# A new layer is one row: ours, the same forward in torch's words (of x and the layer's parameters), and an input.
IMAGES, POSITIVE = randn(3, 3, 7, 6), randn(3, 4, 5, 4).abs()
ROWS = {
    "convolution-same-stride-1": (convolution(), lambda x, w: same_padded(x, w, 1), IMAGES),
    "convolution-same-stride-2": (convolution(stride=2), lambda x, w: same_padded(x, w, 2), IMAGES),
    "convolution-same-stride-3": (convolution(stride=3), lambda x, w: same_padded(x, w, 3), IMAGES),
    "convolution-explicit": (
        convolution(stride=2, padding=2), lambda x, w: F.conv2d(x, w, stride=2, padding=2), IMAGES
    ),
    "convolution-unpadded": (convolution(padding=0), lambda x, w: F.conv2d(x, w), IMAGES),
    "relu": (ReLU(), F.relu, IMAGES),
    "batch-norm": (BatchNorm(running(1, 3, 1, 1)), standardized((0, 2, 3)), IMAGES),
    "layer-norm": (LayerNorm(), standardized((1, 2, 3)), IMAGES),
    "instance-norm": (InstanceNorm(), standardized((2, 3)), IMAGES),
    "box-cox-2": (boxcox(2.0), powered, POSITIVE),
    "box-cox-half": (boxcox(0.5), powered, POSITIVE),
    "box-cox-negative": (boxcox(-0.7), powered, POSITIVE),
    "box-cox-original": (boxcox(2.0, denominator_eps=1e-8), lambda x, lam: powered(x, lam, 1e-8), POSITIVE),
    "mean-pool": (MeanPool(), lambda x: x.mean((2, 3)), IMAGES),
}  # fmt: skip


@pytest.fixture(params=ROWS.values(), ids=ROWS)
def row(request):
    return request.param


def test_forward_backward_and_parameters_are_autograds_to_ten_digits(row):
    layer, forward, x = row
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in layer.parameters().items()}
    image = x.clone().requires_grad_()
    theirs = forward(image, *leaves.values())
    dout = randn(*theirs.shape)
    theirs.backward(dout)

    out, cache = layer.forward(x)
    dx, gradients = layer.backward(dout, cache)

    assert relative_error(out, theirs.detach()) < 1e-10
    assert relative_error(dx, image.grad) < 1e-10
    assert gradients.keys() == leaves.keys()
    for name, leaf in leaves.items():
        assert relative_error(gradients[name], leaf.grad) < 1e-10, name


def test_the_derivative_along_a_direction_is_the_finite_difference(row):
    layer, _, x = row
    direction, dout = randn(*x.shape) + 0.1, randn(*layer.forward(x)[0].shape)
    h = 1e-6
    wanted = ((layer.forward(x + h * direction)[0] - layer.forward(x - h * direction)[0]) * dout).sum() / (2 * h)

    dx, _ = layer.backward(dout, layer.forward(x)[1])

    assert (dx * direction).sum().item() == pytest.approx(wanted.item(), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("lam", [0.0, 1e-300, 1e-12, 1e-6, -1e-6, 1e-3])
def test_box_cox_has_no_jump_at_lambda_zero(lam):
    layer = boxcox(lam)
    u = torch.log1p(POSITIVE)
    out, cache = layer.forward(POSITIVE)
    dout = torch.ones_like(out)
    dx, gradients = layer.backward(dout, cache)
    # Their limits at λ = 0, and the next terms of their series.
    assert relative_error(out, u + lam * u**2 / 2 + lam**2 * u**3 / 6) < 1e-8
    assert relative_error(dx, (1 + lam * u + (lam * u) ** 2 / 2) / (1 + POSITIVE)) < 1e-8
    assert gradients["lam"].item() == pytest.approx((u**2 / 2 + lam * u**3 / 3).sum().item(), rel=1e-5)


def test_cross_entropy_is_autograds_and_its_rows_sum_to_zero():
    scores, labels = randn(7, 10), torch.arange(7) % 10
    leaf = scores.clone().requires_grad_()
    theirs = F.cross_entropy(leaf, labels)
    theirs.backward()

    loss, dscores = cross_entropy(scores, labels)

    assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
    assert relative_error(dscores, leaf.grad) < 1e-10
    assert dscores.sum(1).abs().max() < 1e-15


def test_cross_entropy_of_huge_scores_does_not_overflow():
    loss, dscores = cross_entropy(torch.tensor([[1e4, -1e4], [1e4, -1e4]]), torch.tensor([0, 1]))
    assert loss.item() == 1e4
    assert torch.isfinite(dscores).all()


@pytest.mark.parametrize("name", ["batch-norm", "layer-norm", "instance-norm"])
def test_what_a_normalization_passes_back_sums_to_zero_alone_and_times_its_output(name):
    layer, _, x = ROWS[name]
    axes = {"batch-norm": (0, 2, 3), "layer-norm": (1, 2, 3), "instance-norm": (2, 3)}[name]
    out, cache = layer.forward(x)
    dx, _ = layer.backward(randn(*x.shape), cache)
    assert dx.sum(axes).abs().max() < 1e-12
    assert (dx * out).sum(axes).abs().max() < 1e-5  # 0 but for eps beside the variance


def test_weights_before_a_batch_norm_have_no_gradient_along_themselves():
    conv, norm = convolution(), BatchNorm(running(1, 4, 1, 1))
    out, cache = conv.forward(IMAGES)
    _, norm_cache = norm.forward(out)
    dout, _ = norm.backward(randn(*out.shape), norm_cache)
    _, gradients = conv.backward(dout, cache)
    assert abs((gradients["weight"] * conv.weight).sum()) < 1e-6 * gradients["weight"].norm() * conv.weight.norm()


def test_the_whole_network_is_autograds_in_every_parameter_and_every_passed_gradient():
    weights = [0.3 * randn(4, 3, 3, 3), 0.3 * randn(5, 4, 3, 3)]
    x, labels = randn(6, 3, 8, 8), torch.arange(6) % 5
    leaves, image = [w.clone().requires_grad_() for w in weights], x.clone().requires_grad_()
    hidden = standardized((0, 2, 3))(F.relu(same_padded(image, leaves[0], 2)))
    hidden.retain_grad()
    F.cross_entropy(same_padded(hidden, leaves[1], 1).mean((2, 3)), labels).backward()
    seen = {}
    network = Network(
        [
            Convolution(weights[0], stride=2), ReLU(), BatchNorm(running(1, 4, 1, 1)),
            Convolution(weights[1]), MeanPool(),
        ]
    )  # fmt: skip

    _, _, gradients = network.gradients(x, labels, lambda place, dout, dx, own: seen.update({place: (dout, dx)}))

    assert list(seen) == [4, 3, 2, 1, 0]
    assert relative_error(gradients["0.weight"], leaves[0].grad) < 1e-10
    assert relative_error(gradients["3.weight"], leaves[1].grad) < 1e-10
    assert relative_error(seen[0][1], image.grad) < 1e-10
    assert relative_error(seen[3][1], hidden.grad) < 1e-10


def relative_error(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()
