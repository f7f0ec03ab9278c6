"""Networks whose layers take several earlier outputs."""

import weakref

import pytest
import torch
import torch.nn.functional as F

from normcore import Add, BatchNorm, Convolution, GlobalAveragePool, Linear, Network, ReLU, cross_entropy
from tests.normcore.averages import EPS, running
from tests.normcore.study_network import batch_of


def residual():
    """conv → batch → relu2 → conv → relu4 → conv5 of relu2 → relu4 + relu2 + conv5: relu2 is used three times."""
    generator = torch.Generator().manual_seed(13)

    def weight(*shape):
        return 0.3 * torch.randn(shape, dtype=torch.float64, generator=generator)

    layers = [
        Convolution(weight(4, 3, 3, 3), stride=2), BatchNorm(running(1, 4, 1, 1), EPS), ReLU(),
        Convolution(weight(4, 4, 3, 3)), ReLU(), Convolution(weight(4, 4, 1, 1)), Add(), GlobalAveragePool(),
        Linear(weight(10, 4), weight(10)),
    ]  # fmt: skip
    return Network(layers, [(-1,), (0,), (1,), (2,), (3,), (2,), (4, 2, 5), (6,), (7,)])


class TestMemory:
    def test_outputs_are_freed_after_their_last_use(self):
        """The network keeps an output only until its last use."""
        outputs, alive = [], []

        class Watched(ReLU):
            def forward(self, x):
                alive.append(sum(output() is not None for output in outputs))
                out, cache = super().forward(x)
                outputs.append(weakref.ref(out))
                return out, cache

        Network([*(Watched() for _ in range(5)), Add()], [(-1,), (0,), (1,), (2,), (3,), (4, 1)]).logits(
            torch.ones(1, 2)
        )
        assert alive == [0, 1, 1, 2, 2]


class TestInputs:
    @pytest.mark.parametrize("inputs", [[(-1,), (2,), (1,)], [(-1,), (1,), (1,)], [(-2,), (0,), (1,)]])
    def test_layer_that_takes_a_later_output_is_refused(self, inputs):
        """A layer may take only outputs of layers before it."""
        with pytest.raises(ValueError, match="not before it"):
            Network([ReLU(), ReLU(), ReLU()], inputs)

    def test_output_that_nothing_takes_is_refused(self):
        """Every output but the last must be used."""
        with pytest.raises(ValueError, match="nothing takes the output of layer 1"):
            Network([ReLU(), ReLU(), ReLU()], [(-1,), (0,), (0,)])


class TestGradients:
    def test_gradients_through_shortcuts_are_autograds(self):
        """Gradients add up where an output is used twice, as autograd adds them."""
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

        dx = {}
        loss, _, gradients = network.gradients(
            x, labels, lambda index, layer_gradients: dx.update({index: layer_gradients.dx})
        )

        assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
        assert torch.linalg.norm(dx[0] - image.grad) < 1e-10 * torch.linalg.norm(image.grad)
        for name, leaf in leaves.items():
            assert torch.linalg.norm(gradients[name] - leaf.grad) < 1e-10 * torch.linalg.norm(leaf.grad), name

    def test_images_gradient_is_left_out_without_a_probe(self):
        """Without a probe the images' gradient is not computed, and the weights' gradients are the same."""
        network = residual()
        x, labels = batch_of(4, 9)
        logits, caches = network.forward(x)
        _, dlogits = cross_entropy(logits, labels)
        observed = network.backward(dlogits, caches, lambda *call: None, images=lambda: x)

        class Refusing(Convolution):
            def backward(self, dout, cache):
                raise AssertionError("dx of the images was computed")

        first = network.layers[0]
        network = Network([Refusing(first.weight, stride=2), *network.layers[1:]], network.inputs)
        _, _, gradients = network.gradients(x, labels)
        assert all(torch.equal(gradients[name], observed[name]) for name in observed)
