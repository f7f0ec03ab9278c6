"""Every layer's backward pass in float64, compared with autograd and with finite differences."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F

from normcore import (
    Activation,
    Affine,
    AveragePool,
    BatchNorm,
    BoxCox,
    Convolution,
    DynamicTanh,
    GlobalAveragePool,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    MaxPool,
    RangeNorm,
    ReLU,
    RMSNorm,
    ThresholdedLinear,
    WeightStandardized,
    YeoJohnson,
    cross_entropy,
)
from normcore.layers.layer import parameters_of
from tests.normcore.averages import EPS, averages, running
from tests.normcore.study_network import NORMALIZATIONS, STRIDES, batch_of, study_network

generator = torch.Generator().manual_seed(3)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=generator)


class Row(NamedTuple):
    """A layer; the same forward in torch, of x and the parameters; an input; the step of the finite differences."""

    layer: object
    forward: object
    x: torch.Tensor
    h: float = 1e-6


def convolution(size, forward=None, **options):
    layer = Convolution(0.3 * randn(4, 3, 3, 3), **options)
    stride = options.get("stride", 1)
    return Row(layer, forward or (lambda x, w: same_convolved(x, w, stride)), randn(3, 3, *size))


def same_convolved(x, weight, stride):
    """TensorFlow's rule as its documentation states it, for a 3×3 kernel, which is not by ⌈size/stride⌉."""
    rows, columns = (max(3 - stride, 0) if n % stride == 0 else max(3 - n % stride, 0) for n in x.shape[2:])
    padded = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return F.conv2d(padded, weight, stride=stride)


def standardized(axes, eps=EPS):
    def forward(x):
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / ((x - mean).square().mean(axes, keepdim=True) + eps).sqrt()

    return forward


def box_cox(lam, delta=0.0, h=1e-6):
    def apart(x, lam):
        return ((1 + x) ** lam - 1) / (lam + delta)

    def near_zero(x, lam):  # Σ λ^k u^(k+1) / (k+1)!, which autograd can differentiate at λ = 0
        u, total, term = torch.log1p(x), 0.0, 1.0
        for k in range(4):
            term = term * u / (k + 1)
            total = total + term * lam**k
        return total * lam / (lam + delta) if delta else total

    layer = BoxCox(torch.tensor(lam, dtype=torch.float64), denominator_eps=delta)
    return Row(layer, near_zero if abs(lam) < 1e-6 else apart, randn(3, 4, 5, 4).abs(), h)


def ranged(x):
    low, high = x.amin((-4, -2, -1), keepdim=True), x.amax((-4, -2, -1), keepdim=True)
    return (x - low) / (high - low + EPS)


def yeo_johnson(x, lam):
    above, below = x.clamp(min=0), x.clamp(max=0)
    return torch.where(x >= 0, ((1 + above) ** lam - 1) / lam, -((1 - below) ** (2 - lam) - 1) / (2 - lam))


# A new layer is one row.
ROWS = {
    "convolution-same-stride-1-odd": convolution((7, 5)),
    "convolution-same-stride-1-even": convolution((6, 8)),
    "convolution-same-stride-2-odd": convolution((7, 5), stride=2),
    "convolution-same-stride-2-even": convolution((6, 8), stride=2),
    "convolution-same-stride-2-mixed": convolution((7, 6), stride=2),
    "convolution-same-stride-3": convolution((7, 6), stride=3),
    "convolution-same-of-one-pixel": convolution((1, 1), stride=2),
    "convolution-explicit-0": convolution((6, 5), F.conv2d, padding=0),
    "convolution-explicit-1": convolution((6, 5), lambda x, w: F.conv2d(x, w, padding=1), padding=1),
    # With an even size the last row is under no kernel.
    "convolution-explicit-0-stride-2": convolution(
        (6, 5), lambda x, w: F.conv2d(x, w, stride=2), padding=0, stride=2
    ),
    "convolution-explicit-2-stride-2": convolution(
        (6, 5), lambda x, w: F.conv2d(x, w, stride=2, padding=2), padding=2, stride=2
    ),
    "convolution-groups": Row(Convolution(0.3 * randn(6, 2, 3, 3), groups=2, padding=1, stride=2),
        lambda x, w: F.conv2d(x, w, padding=1, stride=2, groups=2), randn(3, 4, 7, 6)),
    "convolution-depthwise-bias": Row(Convolution(0.3 * randn(4, 1, 3, 3), groups=4, bias=randn(4)),
        lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=4), randn(3, 4, 7, 6)),
    "weight-standardized-bias": Row(WeightStandardized(Convolution(0.3 * randn(4, 3, 3, 3), padding=1, bias=randn(4))),
        lambda x, w, b: F.conv2d(x, standardized((1, 2, 3))(w), b, padding=1), randn(3, 3, 7, 6)),
    "linear": Row(Linear(randn(5, 7), randn(5)), F.linear, randn(3, 7)),
    "linear-of-images": Row(Linear(randn(5, 24)), lambda x, w: x.flatten(1) @ w.T, randn(3, 2, 3, 4)),
    "max-pool": Row(MaxPool(2, 2), lambda x: F.max_pool2d(x, 2), randn(3, 3, 7, 6)),
    "max-pool-overlapping": Row(MaxPool(3, 2), lambda x: F.max_pool2d(x, 3, 2), randn(3, 3, 7, 6)),
    "average-pool": Row(AveragePool(2, 2), lambda x: F.avg_pool2d(x, 2), randn(3, 3, 7, 6)),
    "average-pool-overlapping": Row(AveragePool(3, 1), lambda x: F.avg_pool2d(x, 3, 1), randn(3, 3, 7, 6)),
    "relu": Row(ReLU(), lambda x: x.clamp(min=0), randn(3, 3, 7, 6)),
    "leaky-relu": Row(Activation("leaky_relu"), F.leaky_relu, randn(3, 3, 7, 6)),
    "elu": Row(Activation("elu"), F.elu, randn(3, 3, 7, 6)),
    "gelu": Row(Activation("gelu"), F.gelu, randn(3, 3, 7, 6)),
    "silu": Row(Activation("silu"), F.silu, randn(3, 3, 7, 6)),
    "tanh": Row(Activation("tanh"), torch.tanh, randn(3, 3, 7, 6)),
    "batch-norm": Row(BatchNorm(running(1, 3, 1, 1), EPS), standardized((-4, -2, -1)), randn(3, 3, 7, 6)),
    "layer-norm": Row(LayerNorm(EPS), standardized((1, 2, 3)), randn(3, 3, 7, 6)),
    "instance-norm": Row(InstanceNorm(EPS), standardized((2, 3)), randn(3, 3, 7, 6)),
    "batch-norm-eps-0.1": Row(BatchNorm(running(1, 3, 1, 1), 0.1),
        lambda x: F.batch_norm(x, None, None, training=True, eps=0.1), randn(3, 3, 7, 6)),
    "layer-norm-eps-0.1": Row(LayerNorm(0.1), lambda x: F.layer_norm(x, x.shape[1:], eps=0.1), randn(3, 3, 7, 6)),
    "instance-norm-eps-0.1": Row(InstanceNorm(0.1), lambda x: F.instance_norm(x, eps=0.1), randn(3, 3, 7, 6)),
    "box-cox-2": box_cox(2.0),
    "box-cox-1": box_cox(1.0),
    "box-cox-0.5": box_cox(0.5),
    "box-cox-minus-0.7": box_cox(-0.7),
    "box-cox-0": box_cox(0.0),
    "box-cox-1e-9": box_cox(1e-9),
    "box-cox-2-denominator": box_cox(2.0, 1e-8),
    "box-cox-minus-0.7-denominator": box_cox(-0.7, 1e-8),
    "box-cox-0-denominator": box_cox(0.0, 1e-8, h=1e-12),  # λ + 1e-8 has its pole at −1e-8
    "box-cox-1e-9-denominator": box_cox(1e-9, 1e-8, h=1e-12),
    "box-cox-2-large-denominator": box_cox(2.0, 0.1),  # the quotient rule's other term, far above rounding
    "group-norm-2-of-4": Row(GroupNorm(2, EPS), lambda x: F.group_norm(x, 2, eps=EPS), randn(3, 4, 5, 6)),
    "group-norm-of-one-pixel": Row(GroupNorm(2, 0.1), lambda x: F.group_norm(x, 2, eps=0.1), randn(3, 6, 1, 1)),
    "rms-norm": Row(RMSNorm(eps=EPS), lambda x: F.rms_norm(x, x.shape[1:], eps=EPS), randn(3, 3, 7, 6)),
    "rms-norm-of-a-map": Row(RMSNorm((-2, -1), 0.1), lambda x: F.rms_norm(x, x.shape[2:], eps=0.1), randn(3, 3, 7, 6)),
    "threshold": Row(ThresholdedLinear(0.3 * randn(1, 3, 1, 1)), torch.maximum, randn(3, 3, 7, 6)),
    "affine": Row(Affine(randn(1, 3, 1, 1), randn(1, 3, 1, 1)), lambda x, a, b: a * x + b, randn(3, 3, 7, 6)),
    "range-norm": Row(RangeNorm(*averages(1, 3, 1, 1)), ranged, randn(3, 3, 7, 6)),
    "dynamic-tanh": Row(DynamicTanh(torch.tensor(0.5, dtype=torch.float64)),
        lambda x, alpha: torch.tanh(alpha * x), randn(3, 3, 7, 6)),
    "yeo-johnson": Row(YeoJohnson(1 + 0.5 * randn(1, 3, 1, 1)), yeo_johnson, randn(3, 3, 7, 6)),
    "weight-standardized": Row(WeightStandardized(Convolution(0.3 * randn(4, 3, 3, 3), padding=1), EPS),
        lambda x, w: F.conv2d(x, standardized((1, 2, 3))(w), padding=1), randn(3, 3, 7, 6)),
    "weight-standardized-stride-2": Row(WeightStandardized(Convolution(0.3 * randn(4, 3, 3, 3), stride=2), 0.1),
        lambda x, w: same_convolved(x, (w - w.mean((1, 2, 3), keepdim=True))
            / (w.var((1, 2, 3), correction=0, keepdim=True) + 0.1).sqrt(), 2), randn(3, 3, 7, 6)),
    "mean-pool": Row(GlobalAveragePool(), lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), randn(3, 3, 7, 6)),
}  # fmt: skip


@pytest.fixture(params=ROWS.values(), ids=ROWS)
def row(request):
    return request.param


class TestCrossEntropy:
    def test_loss_and_gradient_equal_autograds(self):
        """The loss and its gradient equal autograd's and the finite differences."""
        logits, labels = randn(7, 10), torch.arange(7) % 10
        leaf = logits.clone().requires_grad_()
        theirs = F.cross_entropy(leaf, labels)
        theirs.backward()

        loss, dlogits = cross_entropy(logits, labels)

        assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
        assert relative_error(dlogits, leaf.grad) < 1e-10
        assert (
            relative_error(dlogits, central_differences(lambda: cross_entropy(logits, labels)[0], logits, 1e-5)) < 1e-6
        )


# A new normalization is one row, of x and of the layer's λ where it has one.
THEIRS = {
    "none": lambda x: x,
    "batch": lambda x: F.batch_norm(x, None, None, training=True, eps=EPS),
    "layer": lambda x: F.layer_norm(x, x.shape[1:], eps=EPS),
    "instance": lambda x: F.instance_norm(x, eps=EPS),
    "box_cox": lambda x, lam: ((1 + x) ** lam - 1) / lam,
}


def autograds_forward(normalization, x, leaves):
    """The input of every layer, by its index in our network, and the logits."""
    inputs, parameters, index = {}, iter(leaves.values()), 0

    def entering(x):
        nonlocal index
        # A tensor that enters two of our layers has one gradient in autograd; a view for each tells them apart.
        inputs[index] = x = x.view_as(x) if x.requires_grad else x.clone().requires_grad_()
        x.retain_grad()
        index += 1
        return x

    for block, stride in enumerate(STRIDES, start=1):
        x = same_convolved(entering(x), next(parameters), stride)
        x = F.relu(entering(x))
        if block < 6 and normalization != "none":
            own = [next(parameters)] if normalization == "box_cox" else []
            x = THEIRS[normalization](entering(x), *own)
    return inputs, entering(x).mean((2, 3))


class TestStudyNetwork:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_every_gradient_equals_autograds(self, normalization):
        """Every parameter's gradient and every layer's dx equal autograd's in the study's network."""
        network = study_network(normalization, init_std=0.2)
        x, labels = batch_of(4, 40)  # maps of 20, 10, 5, 3, 3, 3: odd sizes and even ones
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in network.parameters().items()}
        inputs, logits = autograds_forward(normalization, x, leaves)
        theirs = F.cross_entropy(logits, labels)
        theirs.backward()

        dx = {}
        loss, our_logits, gradients = network.gradients(x, labels, lambda index, passed: dx.update({index: passed.dx}))

        assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
        assert relative_error(our_logits, logits.detach()) < 1e-10
        assert gradients.keys() == leaves.keys()
        for name, leaf in leaves.items():
            assert leaf.grad.norm() > 0
            assert relative_error(gradients[name], leaf.grad) < 1e-10, name
        assert dx.keys() == inputs.keys()
        for index, image in inputs.items():
            assert relative_error(dx[index], image.grad) < 1e-10, index

    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_loss_changes_as_the_gradients_say(self, normalization):
        """A small step along a gradient changes the loss by the gradient's norm."""
        network = study_network(normalization, init_std=0.2)
        x, labels = batch_of(4, 40)
        _, _, gradients = network.gradients(x, labels)
        for name, parameter in network.parameters().items():
            start, direction, h = parameter.clone(), gradients[name] / gradients[name].norm(), 1e-7
            losses = []
            for sign in (1, -1):
                parameter.copy_(start + sign * h * direction)
                losses.append(network.gradients(x, labels)[0].item())
            parameter.copy_(start)
            slope = (losses[0] - losses[1]) / (2 * h)
            assert slope == pytest.approx(gradients[name].norm().item(), rel=1e-5), name


class TestLayers:
    def test_output_and_gradients_equal_autograds(self, row):
        """Output, dx and every parameter's gradient equal autograd's to ten digits."""
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters_of(row.layer).items()}
        image = row.x.clone().requires_grad_()
        theirs = row.forward(image, *leaves.values())
        dout = randn(*theirs.shape)
        theirs.backward(dout)

        out, cache = row.layer.forward(row.x)
        dx, gradients = row.layer.backward(dout, cache)

        assert relative_error(out, theirs.detach()) < 1e-10
        assert relative_error(dx, image.grad) < 1e-10
        assert gradients.keys() == leaves.keys()
        for name, leaf in leaves.items():
            assert relative_error(gradients[name], leaf.grad) < 1e-10, name

    def test_gradients_equal_finite_differences(self, row):
        """Every entry of every gradient equals the finite difference."""
        out, cache = row.layer.forward(row.x)
        dout = randn(*out.shape)
        dx, gradients = row.layer.backward(dout, cache)

        def loss():
            return (row.layer.forward(x)[0] * dout).sum()

        x = row.x.clone()
        assert relative_error(dx, central_differences(loss, x, 1e-6)) < 1e-6
        for name, parameter in parameters_of(row.layer).items():
            assert relative_error(gradients[name], central_differences(loss, parameter, row.h)) < 1e-6, name

    def test_dx_has_the_inputs_shape(self, row):
        """The gradient of the input has the input's shape."""
        out, cache = row.layer.forward(row.x)
        dx, _ = row.layer.backward(randn(*out.shape), cache)
        assert dx.shape == row.x.shape

    def test_thresholded_linear_passes_a_nan_on(self):
        """A NaN passes through the thresholded linear unit in both directions."""
        layer, x = ThresholdedLinear(torch.zeros(1, 1, 1, 1)), torch.tensor([torch.nan, -1.0, 2.0]).view(1, 1, 1, 3)
        out, cache = layer.forward(x)
        dx, _ = layer.backward(torch.tensor([1.0, 1.0, torch.nan]).view(1, 1, 1, 3), cache)
        assert out.isnan().flatten().tolist() == [True, False, False]
        assert dx.flatten()[:2].tolist() == [1, 0]
        assert dx.flatten()[2].isnan()

    def test_relu_passes_a_nan_on(self):
        """A NaN passes through ReLU in both directions."""
        out, cache = ReLU().forward(torch.tensor([torch.nan, -1.0, 2.0]))
        dx, _ = ReLU().backward(torch.tensor([1.0, 1.0, torch.nan]), cache)
        assert out.isnan().tolist() == [True, False, False]
        assert dx[1] == 0
        assert dx[2].isnan()


def central_differences(loss, tensor, h):
    """dloss/dtensor, one entry at a time; the tensor is changed in place and restored."""
    slopes, entries = torch.empty_like(tensor), tensor.view(-1)
    for index in range(tensor.numel()):
        value = entries[index].item()
        entries[index] = value + h
        above = loss()
        entries[index] = value - h
        slopes.view(-1)[index] = (above - loss()) / (2 * h)
        entries[index] = value
    return slopes


def relative_error(ours, theirs):
    distance = (ours - theirs).norm().item()
    return distance / theirs.norm().item() if distance else 0.0  # two exact zeros agree
