"""Networks of test time: their layers, their backward pass, and the tensors that they share."""

import pytest
import torch
import torch.nn.functional as F

from normcore import (
    Add,
    BatchNorm,
    Convolution,
    Dropout,
    GlobalAveragePool,
    Identity,
    InstanceNorm,
    LayerNorm,
    Linear,
    Network,
    RangeNorm,
    ReLU,
    cross_entropy,
)
from tests.normcore.averages import EPS, averages, randn, running, slots
from tests.normcore.differences import central_differences, relative_error
from tests.normcore.study_network import NORMALIZATIONS, batch_of, study_network

# A layer that differs at test time is one row: the layer, of 3 channels and up to 4 images, and test time's forward in
# torch.
FIXED = {
    "batch": (
        BatchNorm(running(1, 3, 1, 1), EPS),
        lambda layer, x: F.batch_norm(x, layer.running.mean.flatten(), layer.running.var.flatten(), eps=EPS),
    ),
    "layer by slot": (
        LayerNorm(EPS, slots(4, 1, 1, 1)),
        lambda layer, x: (x - layer.slots.mean[: len(x)]) / (layer.slots.var[: len(x)] + EPS).sqrt(),
    ),
    "instance by slot": (
        InstanceNorm(EPS, slots(4, 3, 1, 1)),
        lambda layer, x: (x - layer.slots.mean[: len(x)]) / (layer.slots.var[: len(x)] + EPS).sqrt(),
    ),
    "range": (
        RangeNorm(*averages(1, 3, 1, 1)),
        lambda layer, x: (x - layer.low) / (layer.high - layer.low + EPS),
    ),
    "dropout": (
        Dropout(0.5, 7, torch.zeros((), dtype=torch.int64)),
        lambda layer, x: F.dropout(x, 0.5, training=False),
    ),
}


@pytest.fixture(params=FIXED.values(), ids=FIXED)
def fixed(request):
    """A layer after two training batches, and test time's forward in torch."""
    layer, forward = request.param
    for _ in range(2):
        layer.forward(2 * randn(4, 3, 5, 6) + 1)
    return layer, lambda x: forward(layer, x)


class TestFixedLayers:
    @pytest.mark.parametrize("images", [4, 3])
    def test_output_and_gradient_equal_autograds(self, fixed, images):
        """Output and dx equal autograd's to ten digits, for a batch smaller than the slots too."""
        layer, forward = fixed
        x, dout = randn(images, 3, 5, 6), randn(images, 3, 5, 6)
        leaf = x.clone().requires_grad_()
        theirs = forward(leaf)
        theirs.backward(dout)

        inference = layer.for_inference()
        out, cache = inference.forward(x)
        dx, gradients = inference.backward(dout, cache)

        assert relative_error(out, theirs.detach()) < 1e-10
        assert relative_error(dx, leaf.grad) < 1e-10
        assert gradients == {}

    def test_gradient_equals_finite_differences(self, fixed):
        """Every entry of dx equals the finite difference."""
        inference = fixed[0].for_inference()
        x, dout = randn(4, 3, 5, 6), randn(4, 3, 5, 6)
        dx, _ = inference.backward(dout, inference.forward(x)[1])
        differences = central_differences(lambda: (inference.forward(x)[0] * dout).sum(), x, 1e-6)
        assert relative_error(dx, differences) < 1e-6

    def test_later_training_changes_the_fixed_layer(self, fixed):
        """The fixed layer shares the statistics: a later training batch changes its output, except dropout's."""
        layer, forward = fixed
        inference, x = layer.for_inference(), randn(4, 3, 5, 6)
        before, _ = inference.forward(x)
        layer.forward(3 * randn(4, 3, 5, 6) - 2)
        after, _ = inference.forward(x)
        assert torch.equal(before, after) == isinstance(inference, Identity)
        assert relative_error(after, forward(x)) < 1e-10


class TestForInference:
    def test_layers_that_do_not_differ_are_the_same_objects(self):
        """Only layers that differ at test time are replaced."""
        network = study_network("batch")
        for own, test_time in zip(network.layers, network.for_inference().layers, strict=True):
            assert (own is test_time) != isinstance(own, BatchNorm)

    def test_parameters_and_buffers_are_shared(self):
        """The network of test time has the very parameters and running statistics of the training network."""
        network = study_network("batch")
        inference = network.for_inference()
        for ours, theirs in (
            (network.parameters(), inference.parameters()),
            (network.buffers(), inference.buffers()),
        ):
            assert ours.keys() == theirs.keys()
            assert all(ours[name] is theirs[name] for name in ours)

    def test_the_network_of_test_time_is_its_own(self):
        """Asked again, a network of test time replaces nothing."""
        inference = study_network("batch").for_inference()
        assert inference.for_inference().layers == inference.layers

    def test_logits_are_those_of_forward(self):
        """logits() equals the output of forward, bit for bit."""
        inference, x = study_network("batch").for_inference(), batch_of(3, 16)[0]
        assert torch.equal(inference.logits(x), inference.forward(x)[0])


def slotted_network():
    """Convolutions with every kind of layer that differs at test time, and a shortcut around one of them."""
    layers = [
        Convolution(0.4 * randn(4, 3, 3, 3), bias=randn(4)), ReLU(), LayerNorm(EPS, slots(5, 1, 1, 1)),
        Convolution(0.4 * randn(4, 4, 3, 3)), BatchNorm(running(1, 4, 1, 1), EPS), Add(),
        Convolution(0.4 * randn(4, 4, 3, 3), stride=2), RangeNorm(*averages(1, 4, 1, 1)),
        InstanceNorm(EPS, slots(5, 4, 1, 1)), Dropout(0.3, 3, torch.zeros((), dtype=torch.int64)),
        GlobalAveragePool(), Linear(randn(10, 4), randn(10)),
    ]  # fmt: skip
    return Network(layers, [(-1,), (0,), (1,), (2,), (3,), (4, 2), (5,), (6,), (7,), (8,), (9,), (10,)])


NETWORKS = {name: lambda name=name: study_network(name, init_std=0.2) for name in NORMALIZATIONS}
NETWORKS["every fixed layer"] = slotted_network


class TestBackward:
    @pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
    @pytest.mark.parametrize("recompute", [False, True])
    def test_gradients_equal_autograds(self, make, recompute):
        """Every parameter's gradient and the images' equal autograd's through the network of test time."""
        network = make()
        network = Network(network.layers, network.inputs, recompute=recompute)
        x, labels = batch_of(5, 40)
        network.gradients(x, labels)
        inference = network.for_inference()
        buffers = {name: buffer.clone() for name, buffer in network.buffers().items()}

        dx = {}
        loss, _, gradients = inference.gradients(
            x, labels, lambda index, layer_gradients: dx.update({index: layer_gradients.dx})
        )

        leaves = {name: tensor.requires_grad_() for name, tensor in inference.parameters().items()}
        image = x.clone().requires_grad_()
        theirs = F.cross_entropy(inference.logits(image), labels)
        theirs.backward()
        assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
        assert relative_error(dx[0], image.grad) < 1e-10
        assert gradients.keys() == leaves.keys()
        for name, leaf in leaves.items():
            assert leaf.grad.norm() > 0
            assert relative_error(gradients[name], leaf.grad) < 1e-10, name
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in network.buffers().items())

    def test_images_gradient_moves_the_loss_as_it_says(self):
        """A small step along the images' gradient changes the loss by the gradient's norm."""
        network, (x, labels) = slotted_network(), batch_of(5, 20)
        network.gradients(x, labels)
        inference, dx = network.for_inference(), {}
        inference.gradients(x, labels, lambda index, layer_gradients: dx.update({index: layer_gradients.dx}))
        direction, h = dx[0] / dx[0].norm(), 1e-6
        above, below = (cross_entropy(inference.logits(x + sign * h * direction), labels)[0] for sign in (1, -1))
        assert float((above - below) / (2 * h)) == pytest.approx(float(dx[0].norm()), rel=1e-5)
