"""Networks whose layers take several earlier outputs: gradients add up where an output is taken twice."""

import weakref

import pytest
import torch
import torch.nn.functional as F

from normcore import Add, BatchNorm, Convolution, GlobalAveragePool, Linear, Network, ReLU, cross_entropy
from tests.normcore.averages import EPS, running
from tests.normcore.study_network import batch_of


def residual():
    """conv0 → batch → relu2 → conv → relu → (+ relu2) → (+ 1×1 conv of relu2, whose input is taken three times)."""
    generator = torch.Generator().manual_seed(13)

    def weight(*shape):
        return 0.3 * torch.randn(shape, dtype=torch.float64, generator=generator)

    layers = [
        Convolution(weight(4, 3, 3, 3), stride=2), BatchNorm(running(1, 4, 1, 1), EPS), ReLU(),
        Convolution(weight(4, 4, 3, 3)), ReLU(), Convolution(weight(4, 4, 1, 1)), Add(), GlobalAveragePool(),
        Linear(weight(10, 4), weight(10)),
    ]  # fmt: skip
    return Network(layers, [(-1,), (0,), (1,), (2,), (3,), (2,), (4, 2, 5), (6,), (7,)])


def test_gradients_through_shortcuts_are_autograds():
    network = residual()
    x, labels = batch_of(4, 9)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in network.parameters().items()}
    first, second, projection, scale, shift = leaves.values()
    image = x.clone().requires_grad_()
    start = F.conv2d(F.pad(image, (1, 1, 1, 1)), first, stride=2)
    start = F.relu(F.batch_norm(start, None, None, training=True, eps=EPS))
    out = F.relu(F.conv2d(start, second, padding=1)) + start + F.conv2d(start, projection)
    theirs = F.cross_entropy(F.linear(out.mean((2, 3)), scale, shift), labels)
    theirs.backward()

    passed = {}
    loss, _, gradients = network.gradients(x, labels, lambda place, seen: passed.update({place: seen.dx}))

    assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
    assert torch.linalg.norm(passed[0] - image.grad) < 1e-10 * torch.linalg.norm(image.grad)
    for name, leaf in leaves.items():
        assert torch.linalg.norm(gradients[name] - leaf.grad) < 1e-10 * torch.linalg.norm(leaf.grad), name


def test_the_network_lets_every_output_go_after_its_last_use():
    made, alive = [], []

    class Watched(ReLU):
        def infer(self, x):
            alive.append(sum(output() is not None for output in made))
            out = super().infer(x)
            made.append(weakref.ref(out))
            return out

    Network([*(Watched() for _ in range(5)), Add()], [(-1,), (0,), (1,), (2,), (3,), (4, 1)]).infer(torch.ones(1, 2))
    assert alive == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("inputs", [[(-1,), (2,), (1,)], [(-1,), (1,), (1,)], [(-2,), (0,), (1,)]])
def test_a_network_that_takes_what_is_not_made_yet_is_refused(inputs):
    with pytest.raises(ValueError, match="not before it"):
        Network([ReLU(), ReLU(), ReLU()], inputs)


def test_a_network_with_an_output_that_nothing_takes_is_refused():
    with pytest.raises(ValueError, match="nothing takes the output of layer 1"):
        Network([ReLU(), ReLU(), ReLU()], [(-1,), (0,), (0,)])


def test_the_images_gradient_is_left_out_without_a_probe_and_weights_gradients_are_the_same():
    network = residual()
    x, labels = batch_of(4, 9)
    logits, caches = network.forward(x)
    _, dlogits = cross_entropy(logits, labels)
    seen = network.backward(dlogits, caches, lambda *call: None, images=lambda: x)

    class Refusing(Convolution):
        def backward(self, dout, cache):
            raise AssertionError("dx of the images was asked for")

    first = network.layers[0]
    lean = Network([Refusing(first.weight, stride=2), *network.layers[1:]], network.inputs)
    _, _, gradients = lean.gradients(x, labels)
    assert all(torch.equal(gradients[name], seen[name]) for name in seen)
